"""What the two sides of a run in lockstep share: its length, its randomness, and what a rollout is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from parity.task import Task

GOING, TERMINATED, TRUNCATED = 0, 1, 2


@dataclasses.dataclass
class Rollout:
    """One side's rollout, T steps of E sub-environments; for a port's rows that are not E times T there is none."""

    observations: Any  # what the policy saw, a dict of arrays or an array ``[T, E, …]``
    masks: np.ndarray  # bool ``[T, E, n_logits]``
    actions: np.ndarray  # int64 ``[T, E, k]``
    # values, log_probs, advantages, targets: float32 ``[T, E]``
    values: np.ndarray
    log_probs: np.ndarray
    advantages: np.ndarray
    targets: np.ndarray
    rewards: np.ndarray  # float32 ``[T, E]``, as the environment gave them
    ends: np.ndarray  # int8 ``[T, E]``: 0 goes on, 1 terminated, 2 truncated


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run in lockstep is."""

    iterations: int  # of sampling and updating
    n_envs: int  # of a rollout, on both sides
    n_steps: int  # likewise
    # ``(batch_size, n_epochs)`` on both sides; None leaves each side its own
    minibatches: tuple[int, int] | None = None

    @classmethod
    def whole(cls, task: Task, iterations: int) -> Length:
        """Iterations as the task trains them."""
        return cls(iterations, task.ppo.n_envs, task.ppo.n_steps)

    @classmethod
    def short(cls, task: Task, iterations: int = 3) -> Length:
        """Iterations of a few dozen minibatches in all, the last one of an epoch shorter than the others."""
        n_envs = min(task.ppo.n_envs, 4)
        n_steps, batch_size = 32, min(task.ppo.batch_size, 24)
        if n_envs * n_steps % batch_size == 1:
            batch_size -= 1  # MaskablePPO divides by NaN in a minibatch of one row
        return cls(iterations, n_envs, n_steps, (batch_size, min(task.ppo.n_epochs, 3)))


class OutOfStep(Exception):
    """The two sides cannot be compared step by step; ``str`` says why, for the rung's reason."""


class Streams:
    """The randomness of one run in lockstep, a function of ``seed`` and the number of the iteration."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def uniforms(self, iteration: int, steps: int, rows: int, sub_actions: int) -> np.ndarray:
        """float64 ``[steps, rows, sub_actions]`` in [0, 1)."""
        return np.random.default_rng([self.seed, iteration, 1]).random((steps, rows, sub_actions))

    def permutations(self, iteration: int) -> np.random.RandomState:
        """The generator of an iteration's permutations, each framework's own copy of the same."""
        return np.random.RandomState(self.permutations_seed(iteration))

    def permutations_seed(self, iteration: int) -> list[int]:
        """For ``np.random.seed``, whose generator Stable-Baselines3 permutes rows with."""
        return [self.seed, iteration, 2]
