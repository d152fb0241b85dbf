"""``Repeatable``: environments that draw from elsewhere than ``np_random`` follow from their seed, and disturb nobody."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from parity import Repeatable


class Draws(gymnasium.Env):
    """Shows a draw of each generator that environments use."""

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(1_000_000)
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)

    def _draw(self) -> np.ndarray:
        return np.array([random.random(), np.random.random(), self.action_space.sample(), self.np_random.random()])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._draw(), {}

    def step(self, action: Any) -> Any:
        return self._draw(), 0.0, False, False, {}


def episode(env: gymnasium.Env, seed: int | None, steps: int = 3) -> np.ndarray:
    """What is seen in an episode ``[steps + 1, 4]``."""
    return np.stack([env.reset(seed=seed)[0], *(env.step(0)[0] for _ in range(steps))])


def test_the_bare_environment_does_not_follow_from_its_seed() -> None:
    one, other = episode(Draws(), 7), episode(Draws(), 7)
    assert (one == other).all(axis=0).tolist() == [False, False, False, True]


def test_an_episode_follows_from_its_seed_in_every_draw() -> None:
    one, other, third = (episode(Repeatable(Draws()), seed) for seed in (7, 7, 8))
    assert np.array_equal(one, other)
    assert not (one == third).any()
    assert len(np.unique(one)) == one.size


def test_later_episodes_go_on_from_the_seed_of_the_first() -> None:
    envs = Repeatable(Draws()), Repeatable(Draws())
    first, second = (np.stack([episode(env, 7), episode(env, None)]) for env in envs)
    assert np.array_equal(first, second)
    assert not (first[0] == first[1]).any()


def test_what_others_draw_does_not_reach_it_and_what_it_draws_does_not_reach_others() -> None:
    env = Repeatable(Draws())
    alone = episode(env, 7)
    env.reset(seed=7)
    random.seed(0)
    np.random.seed(0)
    expected = random.random(), np.random.random()
    random.seed(0)
    np.random.seed(0)
    env.action_space.sample()
    seen = env.step(0)[0]
    assert (random.random(), np.random.random()) == expected
    assert np.array_equal(seen, alone[1])


def test_two_without_a_seed_differ() -> None:
    np.random.seed(0)
    one = Repeatable(Draws())
    np.random.seed(0)
    assert not (episode(one, None) == episode(Repeatable(Draws()), None)).any()
