"""RLlib's own check of an environment, made so that it says the same every time.

Before it samples, an env runner resets every sub-environment with seed 42 and plays one step of random actions in it, whatever
the masks forbid (utils/pre_checks/env.py, ray 2.60.0), unless the configuration has ``disable_env_checking``. An environment
that refuses illegal actions then stops it or not, by chance.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

from parity.capture.raised import raised
from parity.capture.rllib.hooks import replaced
from parity.errors import CannotStart
from parity.frameworks.rllib.config import Port, make_env
from parity.frameworks.rllib.env import shown_mask
from parity.results.capture import Raised
from parity.task.masks import is_legal, uniform_legal_action

# Illegal actions that are tried of each agent, spread over all that it has: one may be forgiven, the next not.
ILLEGAL = 4

Pick = Callable[[Any, np.ndarray | None, spaces.Space], Any]
"""``(agent, mask, action space) -> action``"""


def checked_by_rllib(port: Port) -> dict[str, Raised]:
    """What RLlib's check raises where it draws legal actions (``"legal"``), else where it draws illegal ones (``"illegal"``).

    Empty where it passes, and where the configuration disables it.
    """
    if not port.checks_environment:
        return {}
    error = _check(make_env(port.config), _legal, port.mask_key)
    if error is not None:
        return {"legal": error}
    for number in range(ILLEGAL):
        error = _check(make_env(port.config), _illegal(number), port.mask_key)
        if error is not None:
            return {"illegal": error}
    return {}


def _check(env: Any, pick: Pick, mask_key: str) -> Raised | None:
    reset, space_of = env.reset, env.get_action_space
    shown: dict[Any, Any] = {}

    def remembering(*args: Any, **kwargs: Any) -> Any:
        result = reset(*args, **kwargs)
        shown.update(result[0])
        return result

    def drawing(agent: Any) -> Any:
        # RLlib's check asks an action space for a sample alone.
        space = space_of(agent)
        return types.SimpleNamespace(sample=lambda: pick(agent, shown_mask(shown.get(agent), space, mask_key), space))

    try:
        with replaced(env, reset=remembering, get_action_space=drawing):
            check_multiagent_environments(env)
    except Exception as error:
        return raised(error)
    finally:
        env.close()
    return None


def _legal(agent: Any, mask: np.ndarray | None, space: spaces.Space) -> Any:
    if mask is not None:
        return uniform_legal_action(mask, space, np.random.default_rng(0))
    space.seed(0)
    return space.sample()


def _illegal(number: int) -> Pick:
    """Picks an illegal action of each agent that has any; the others play legally."""

    def pick(agent: Any, mask: np.ndarray | None, space: spaces.Space) -> Any:
        illegal = _illegal_actions(mask, space)
        return illegal[number * (len(illegal) - 1) // (ILLEGAL - 1)] if illegal else _legal(agent, mask, space)

    return pick


def _illegal_actions(mask: np.ndarray | None, space: spaces.Space) -> list[Any]:
    """A few, or all of a `Discrete` space."""
    if mask is None or mask.all():
        return []
    if isinstance(space, spaces.Discrete):
        return [int(action) for action in np.flatnonzero(~mask)]
    try:
        generators = [np.random.default_rng(i) for i in range(64)]
        everything = np.ones_like(mask)
        picked = [uniform_legal_action(everything, space, generator) for generator in generators]
    except CannotStart:
        return []
    return [action for action in picked if not is_legal(mask, action, space)][:ILLEGAL]
