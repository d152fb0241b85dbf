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


class Reseeds(Draws):
    """Makes itself generators at every reset, from entropy where there is no seed, as many environments do."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.generators = [np.random.default_rng(seed), np.random.RandomState(seed), np.random.default_rng()]
        return self._draw(), {}

    def _draw(self) -> np.ndarray:
        draws = [generator.uniform() for generator in self.generators]
        return np.array([*draws, np.random.default_rng().random()])


class DrawsItsMap(Draws):
    """Draws an instance when it is made, from entropy and from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.map = np.array([np.random.default_rng().random(), np.random.random(), random.random()])

    def _draw(self) -> np.ndarray:
        return np.append(self.map, self.np_random.random())


def test_unseeded_episodes_of_one_that_reseeds_follow_from_the_seed_too() -> None:
    bare, other = Reseeds(), Reseeds()
    assert not np.array_equal(*(np.stack([episode(env, 7), episode(env, None)]) for env in (bare, other)))
    first, second = (
        np.stack([episode(env, 7), episode(env, None), episode(env, None)])
        for env in (Repeatable(Reseeds()), Repeatable(Reseeds()))
    )
    assert np.array_equal(first, second)
    assert not (first[1] == first[0]).any() and not (first[1] == first[2]).any()


def test_what_the_constructor_draws_follows_from_the_seed_where_it_is_given_what_makes_it() -> None:
    one, other, third = (episode(Repeatable(DrawsItsMap), seed) for seed in (7, 7, 8))
    assert np.array_equal(one, other)
    assert not (one[0] == third[0]).any()


def test_the_instance_stays_over_episodes_without_a_seed() -> None:
    env = Repeatable(DrawsItsMap)
    first, later = episode(env, 7), episode(env, None)
    assert np.array_equal(first[0, :3], later[0, :3]) and first[0, 3] != later[0, 3]


def test_numpys_entropy_is_given_back() -> None:
    env = Repeatable(Reseeds())
    env.reset(seed=7)
    one = np.random.default_rng().random()
    env.reset(seed=7)
    assert np.random.default_rng().random() != one


def test_spaces_that_a_class_holds_are_not_shared_between_two() -> None:
    class Shared(Draws):
        action_space = spaces.Discrete(1_000_000)

        def __init__(self) -> None:
            self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)

    alone = episode(Repeatable(Shared()), 7)
    env, disturber = Repeatable(Shared()), Repeatable(Shared())
    first = env.reset(seed=7)[0]
    disturber.reset(seed=9)
    assert np.array_equal(np.stack([first, env.step(0)[0]]), alone[:2])
