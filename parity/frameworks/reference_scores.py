"""The lower anchor of the score, measured: play that is uniform over legal actions."""

from __future__ import annotations

import numpy as np

from parity.errors import CannotStart, in_short
from parity.frameworks.evaluation import FIRST_EVALUATION_SEED, MAX_EPISODE_STEPS
from parity.task import Task
from parity.task.masks import MaskedEnv, check_env, is_empty, uniform_legal_action

# The standard error of the anchor is then a twentieth of the spread of single episodes.
UNIFORM_EPISODES = 400


def uniform_legal_returns(task: Task, episodes: int = UNIFORM_EPISODES) -> np.ndarray:
    """Undiscounted returns float64 ``[episodes]`` of uniform play over legal actions, from the evaluator's seeds.

    Raises:
        CannotStart: the environment raises, or never ends an episode. Where no action is legal the episode ends with what it
            has earned: that the ladder and the trials' mask counts say.
    """
    check_env(task.env, task.mask, f"Task {task.id}")
    try:
        env = MaskedEnv(task.env(), task.mask)
        returns = np.array([_episode(env, FIRST_EVALUATION_SEED + k) for k in range(episodes)])
        env.close()
    except CannotStart:
        raise
    except Exception as error:
        raise CannotStart(f"Task {task.id}: env raised {in_short(error)}, played by uniform legal actions.") from error
    return returns


def _episode(env: MaskedEnv, seed: int) -> float:
    # Not the seed alone: most environments draw from the very same generator, and actions must not follow from it.
    generator = np.random.default_rng([seed, 1])
    env.reset(seed=seed)
    total = 0.0
    for _ in range(MAX_EPISODE_STEPS):
        if is_empty(env.action_masks(), env.action_space):
            return total
        _, reward, terminated, truncated, _ = env.step(
            uniform_legal_action(env.action_masks(), env.action_space, generator)
        )
        total += float(reward)
        if terminated or truncated:
            return total
    raise CannotStart(
        f"{env.name}: no end after {MAX_EPISODE_STEPS} steps of uniform legal play; add a TimeLimit wrapper."
    )
