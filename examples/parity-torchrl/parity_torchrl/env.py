"""A task's environments as TorchRL's collector plays them: the mask is an entry of every step's tensordict."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from torchrl.envs import GymWrapper, SerialEnv

from parity.task.masks import MaskedEnv, n_logits

# TorchRL gives names a meaning of their own: it renames an entry "state" (gym.py, 0.14.1), and takes an "action_mask" of the
# shape of a MultiDiscrete's nvec for a mask of joint actions, where parity's has one column per option of a sub-action.
SEEN, MASK = "seen", "mask"


def entries(observation_space: spaces.Space) -> dict[str, spaces.Space]:
    """Where the parts of an observation stand in a tensordict, in the space's order."""
    if isinstance(observation_space, spaces.Dict):
        return {f"{SEEN}_{name}": part for name, part in observation_space.spaces.items()}
    return {SEEN: observation_space}


def by_entry(observation: Any, observation_space: spaces.Space) -> dict[str, Any]:
    """An observation, or a batch of them, under these names."""
    if isinstance(observation_space, spaces.Dict):
        return {f"{SEEN}_{name}": observation[name] for name in observation_space.spaces}
    return {SEEN: observation}


class MaskShown(gymnasium.Wrapper):
    """``{"seen…": …, "mask": bool [n_logits]}``: what TorchRL stores beside each decision."""

    def __init__(self, env: MaskedEnv) -> None:
        super().__init__(env)
        self.masked = env
        mask = spaces.Box(0, 1, (n_logits(env.action_space),), np.bool_)
        self.observation_space = spaces.Dict({**entries(env.observation_space), MASK: mask})

    def _show(self, observation: Any) -> dict[str, Any]:
        return {**by_entry(observation, self.masked.observation_space), MASK: self.masked.action_masks()}

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        return self._show(observation), info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._show(observation), reward, terminated, truncated, info


def torchrl_env(env: MaskedEnv, seed: int | None = None) -> GymWrapper:
    """One environment; actions and discrete observations are numbers, not one-hot vectors."""
    wrapped = GymWrapper(MaskShown(env), categorical_action_encoding=True)
    if seed is not None:
        wrapped.set_seed(seed)
    return wrapped


def batched_env(envs: list[MaskedEnv], first_seed: int) -> SerialEnv:
    """All of them in this process, one after the other; number ``i`` starts from ``first_seed + i``."""
    return SerialEnv(len(envs), [partial(torchrl_env, env, first_seed + i) for i, env in enumerate(envs)])
