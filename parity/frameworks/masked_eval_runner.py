"""An ``EvalRunner`` for every framework that trains on the task's own single-agent environment."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from parity.frameworks.base import EvalRunner
from parity.frameworks.randomness import PolicyGenerator, undisturbed
from parity.task import Task
from parity.task.masks import MaskCounts, masked_envs


class MaskedEvalRunner(EvalRunner):
    """Plays the task's environments; a framework implements ``decide`` alone.

    Attributes:
        envs: the masked environment of each slot.
    """

    def __init__(self, task: Task, slots: int) -> None:
        self.slots = slots
        self.counts = MaskCounts()
        with undisturbed():
            self.envs = masked_envs(task.env, task.mask, slots)
        self._observations: list[Any] = [None] * slots
        self._generator = PolicyGenerator()

    @abstractmethod
    def decide(self, observations: list[Any], masks: np.ndarray, deterministic: bool) -> np.ndarray:
        """The policy's actions ``[B, …]``, as the environment takes them.

        Args:
            observations: B observations as the environments give them.
            masks: bool ``[B, n_logits]``.
            deterministic: the most probable action of each instead of a sampled one.
        """

    def seed_policy(self, seed: int) -> None:
        self._generator.seed(seed)

    def reset(self, slot: int, seed: int) -> None:
        self.envs[slot].counts = self.counts
        with self._generator.drawing():
            self._observations[slot], _ = self.envs[slot].reset(seed=seed)

    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        observations = [self._observations[slot] for slot in slots]
        masks = np.stack([self.envs[slot].action_masks() for slot in slots])
        outcomes = []
        with self._generator.drawing():
            for slot, action in zip(slots, self.decide(observations, masks, deterministic), strict=True):
                self._observations[slot], reward, terminated, truncated, _ = self.envs[slot].step(action)
                outcomes.append((float(reward), bool(terminated or truncated)))
        return outcomes

    def close(self) -> None:
        for env in self.envs:
            env.close()
