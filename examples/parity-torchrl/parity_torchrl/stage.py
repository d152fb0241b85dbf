"""Playing a TorchRL policy for parity's evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torchrl.envs import ExplorationType, set_exploration_type

from parity import Task
from parity.frameworks.base import Stage
from parity.frameworks.network import network_input
from parity.frameworks.randomness import PolicyGenerator, undisturbed
from parity.masks import MaskCounts, masked_envs
from parity_torchrl.policy import Policy


class TorchRLStage(Stage):
    """Episodes side by side, each in an environment of its own; the actor decides for all of them at once."""

    def __init__(self, task: Task, policy: Policy, slots: int) -> None:
        self.slots = slots
        self.counts = MaskCounts()
        self._policy = policy
        with undisturbed():
            self._envs = masked_envs(task.env, task.mask, slots)
        self._observations: list[Any] = [None] * slots
        self._generator = PolicyGenerator()

    def seed_policy(self, seed: int) -> None:
        self._generator.seed(seed)

    def reset(self, slot: int, seed: int) -> None:
        self._envs[slot].counts = self.counts
        with self._generator.drawing():
            self._observations[slot], _ = self._envs[slot].reset(seed=seed)

    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        device = next(self._policy.module.parameters()).device
        masks = torch.as_tensor(np.stack([self._envs[slot].action_masks() for slot in slots]), device=device)
        observations = stack(
            [self._observations[slot] for slot in slots], self._policy.module.observation_space, device
        )
        how = ExplorationType.DETERMINISTIC if deterministic else ExplorationType.RANDOM
        outcomes = []
        with self._generator.drawing():
            with set_exploration_type(how):
                actions = self._policy.decide(observations, masks).cpu().numpy()
            for slot, action in zip(slots, actions, strict=True):
                observation, reward, terminated, truncated, _ = self._envs[slot].step(action)
                self._observations[slot] = observation
                outcomes.append((float(reward), bool(terminated or truncated)))
        return outcomes

    def close(self) -> None:
        for env in self._envs:
            env.close()


def stack(rows: list[Any], space: spaces.Space, device: torch.device | str) -> Any:
    """Observations of several environments as tensors ``[B, …]``, as a tensordict holds them."""
    if isinstance(space, spaces.Dict):
        columns: Any = {name: np.stack([row[name] for row in rows]) for name in space.spaces}
    else:
        columns = np.stack(rows)
    return network_input(columns, space, device)
