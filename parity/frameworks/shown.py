"""Observations that the single-agent environment really shows, whatever its space allows."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.frameworks.network import stack_observations
from parity.frameworks.randomness import undisturbed
from parity.task import Task
from parity.task.masks import MaskedEnv, uniform_legal_action

# Steps of uniformly random play for each row that is kept: neighbouring observations are much alike.
APART = 3


def shown_observations(task: Task, rows: int, seed: int = 0) -> Any:
    """Observations of uniformly random legal play without their mask: arrays ``[rows, …]``, nested as the space is."""
    generator = np.random.default_rng(seed)
    kept = []
    with undisturbed():
        env = MaskedEnv(task.env(), task.mask)
        try:
            observation, _ = env.reset(seed=seed)
            for step in range(rows * APART):
                if step % APART == 0:
                    kept.append(observation)
                action = uniform_legal_action(env.action_masks(), env.action_space, generator)
                observation, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    observation, _ = env.reset()
            return stack_observations(kept, env.observation_space)
        finally:
            env.close()
