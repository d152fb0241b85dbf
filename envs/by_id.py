"""An environment of gymnasium by its id, as ``parity run --env`` takes it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from parity.errors import CannotStart
from parity.task.masks import find_convention, like_a_mask, n_logits


class EverythingLegal(gymnasium.Wrapper):
    """Adds ``action_masks()``, bool ``[n_logits]``: every action, always."""

    def action_masks(self) -> np.ndarray:
        return np.ones(n_logits(self.action_space), dtype=bool)


def make(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """``gymnasium.make(env_id, **kwargs)`` with the mask that it shows, or with every action legal where it shows none.

    Raises:
        CannotStart: it shows something that sounds like a mask in a place of its own: which one it is has to be said.
    """
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    observation, info = env.reset()
    try:
        find_convention(env, observation, info)
    except CannotStart:
        if like_a_mask(env, observation, info):
            raise
        return EverythingLegal(env)
    return env
