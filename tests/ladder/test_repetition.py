"""Calls of an environment are repeated on a new one: who ignores a seed or is changed meanwhile parts, who remembers not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.capture.rllib.repetition import CALLS, FirstCalls, first_difference, same
from parity.frameworks.rllib.env_tap import Call, EnvTap


class Walk:
    """Steps of a seeded generator; which episode it is decides about the reward."""

    def __init__(self, keeps_seed: bool = True) -> None:
        self.keeps_seed, self.episode = keeps_seed, 0
        self.generator = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        if seed is not None and self.keeps_seed:
            self.generator = np.random.default_rng(seed)
        self.episode += 1
        return {"a": {"place": self.generator.normal(size=3)}}, {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, ...]:
        place = self.generator.normal(size=3) + action_dict["a"]
        return {"a": {"place": place}}, {"a": float(self.episode)}, {"__all__": False}, {"__all__": False}, {}

    def close(self) -> None:
        pass


def tapped(**kwargs: Any) -> tuple[Walk, EnvTap, list[Call]]:
    """An environment, a tap on it, and the calls that go through the tap."""
    env, reader = Walk(**kwargs), FirstCalls()
    return env, EnvTap(env, reader), reader.calls


def play(env: EnvTap, seed: int | None = 5) -> None:
    env.reset(seed=seed)
    for _ in range(2):
        for action in range(3):
            env.step({"a": action})
        env.reset()


def test_a_seeded_environment_repeats_itself_over_episodes() -> None:
    _, env, calls = tapped()
    play(env)
    assert len(calls) == 9 and first_difference(Walk(), calls) is None


def test_one_that_drops_its_seed_parts_at_once() -> None:
    _, env, calls = tapped(keeps_seed=False)
    play(env)
    assert first_difference(Walk(keeps_seed=False), calls) == "observations, call 1 (reset)"


def test_one_that_somebody_changes_parts_there() -> None:
    inner, env, calls = tapped()
    env.reset(seed=5)
    env.step({"a": 0})
    inner.episode += 1
    env.step({"a": 0})
    assert first_difference(Walk(), calls) == "rewards, call 3 (step)"


def test_what_began_without_a_seed_is_not_repeated() -> None:
    _, env, calls = tapped()
    play(env, seed=None)
    assert first_difference(Walk(), calls) is None


def test_results_are_copies_and_only_the_first_calls_are_kept() -> None:
    _, env, calls = tapped()
    shown, _ = env.reset(seed=5)
    shown["a"]["place"][:] = 0
    for _ in range(CALLS):
        env.step({"a": 0})
    assert len(calls) == CALLS and calls[0].result[0]["a"]["place"].any()


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ({"x": np.array([np.nan, 1.0])}, {"x": np.array([np.nan, 1.0])}, True),
        ({"x": 1}, {"x": 1, "y": 2}, False),
        ((1, [2, 3]), (1, [2, 4]), False),
        ("left", "right", True),  # no numbers
        (np.array([1, 2]), np.array([1, 2, 3]), False),
    ],
)
def test_nests_are_equal_by_their_numbers(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) == equal
