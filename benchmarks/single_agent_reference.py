"""Reference returns of Taxi, CartPole and sb3-contrib's InvalidActionEnv, without learning.

Taxi: its own transition table, taken backwards from the time limit: exact for uniform play over all actions, uniform play
over legal actions, and best play, from the environment's own distribution of first states.

InvalidActionEnv: every step stands alone, so a return is the length of an episode times the chance of one step. Uniform
legal play is right with the product over sub-actions of one by the number of options left; which options are forbidden is
uniform over the wrong ones, so the expectation is a sum over how they fall on the sub-actions, in exact fractions. Best play
repeats what is shown.

CartPole: uniform play, over many episodes (everything is legal); best play reaches the time limit, which a linear rule that
looks at angle and angular velocity shows by playing.

Usage: python benchmarks/single_agent_reference.py [--out results/reference/single_agent.json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
from fractions import Fraction
from importlib.metadata import version
from math import comb, prod
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from parity_envs.cartpole.task import make_env as make_cartpole
from parity_envs.invalid_actions.task import DISCRETE, MULTI_BINARY, MULTI_DISCRETE

EVALUATION_SEED = 2_000_000_000
EPISODE_LENGTH = 100


def taxi() -> dict[str, Any]:
    """Expected undiscounted returns of whole episodes, by dynamic programming over the steps that are left."""
    env = gymnasium.make("Taxi-v3")
    assert env.spec is not None and env.spec.max_episode_steps is not None
    inner: Any = env.unwrapped
    shape = (env.observation_space.n, env.action_space.n)  # type: ignore[attr-defined]
    following, rewards, ends = np.zeros(shape, dtype=int), np.zeros(shape), np.zeros(shape, dtype=bool)
    for state, actions in inner.P.items():
        for action, outcomes in actions.items():
            ((probability, following[state, action], rewards[state, action], ends[state, action]),) = outcomes
            assert probability == 1.0
    legal = np.array([inner.action_mask(state) for state in inner.P], dtype=bool)

    def value(choose: Any) -> float:
        values = np.zeros(shape[0])
        for _ in range(env.spec.max_episode_steps):  # type: ignore[union-attr]
            values = choose(rewards + np.where(ends, 0.0, values[following]))
        return float(inner.initial_state_distrib @ values)

    return {
        "uniform": value(lambda q: q.mean(axis=1)),
        "uniform_legal": value(lambda q: np.where(legal, q, 0.0).sum(axis=1) / legal.sum(axis=1)),
        "best": value(lambda q: np.where(legal, q, -np.inf).max(axis=1)),
        "steps": env.spec.max_episode_steps,
        "fewest_legal": int(legal.sum(axis=1).min()),
        "most_legal": int(legal.sum(axis=1).max()),
    }


def invalid_actions(sizes: list[int], forbidden: int) -> dict[str, Any]:
    """``sizes``: options of each sub-action; ``forbidden``: how many of all wrong options are."""
    wrong = [size - 1 for size in sizes]
    ways = comb(sum(wrong), forbidden)
    falls = (f for f in itertools.product(*(range(w + 1) for w in wrong)) if sum(f) == forbidden)
    right = sum(
        Fraction(prod(comb(w, f) for w, f in zip(wrong, fall, strict=True)), ways)
        * prod(Fraction(1, size - f) for size, f in zip(sizes, fall, strict=True))
        for fall in falls
    )
    return {
        "uniform": float(EPISODE_LENGTH * prod(Fraction(1, size) for size in sizes)),
        "uniform_legal": float(EPISODE_LENGTH * right),
        "best": float(EPISODE_LENGTH),
        "steps": EPISODE_LENGTH,
    }


def cartpole(episodes: int) -> dict[str, Any]:
    """Uniform play, and a linear rule as proof that the time limit is reached."""
    env = make_cartpole()

    def returns(linear: bool, episodes: int) -> NDArray[np.float64]:
        found = np.zeros(episodes)
        for k in range(episodes):
            generator = np.random.default_rng([EVALUATION_SEED, k])
            observation, _ = env.reset(seed=EVALUATION_SEED + k)
            over = False
            while not over:
                action = int(observation[2] + 0.5 * observation[3] > 0) if linear else int(generator.integers(2))
                observation, reward, terminated, truncated, _ = env.step(action)
                found[k] += float(reward)
                over = terminated or truncated
        return found

    uniform, linear = returns(False, episodes), returns(True, min(200, episodes))
    assert env.spec is not None
    return {
        "uniform_legal": float(uniform.mean()),
        "standard_error": float(uniform.std(ddof=1) / np.sqrt(episodes)),
        "episodes": episodes,
        "best": float(env.spec.max_episode_steps or 0),
        "linear_rule": {"mean": float(linear.mean()), "smallest": float(linear.min()), "episodes": len(linear)},
    }


def problems(episodes: int) -> dict[str, dict[str, Any]]:
    """Every task's reference returns, by the task's id."""
    return {
        "taxi": taxi(),
        "cartpole": cartpole(episodes),
        "invalid-discrete": invalid_actions([DISCRETE["dim"]], DISCRETE["n_invalid_actions"]),
        "invalid-multidiscrete": invalid_actions(MULTI_DISCRETE["dims"], MULTI_DISCRETE["n_invalid_actions"]),
        "invalid-multibinary": invalid_actions([2] * MULTI_BINARY["dims"], MULTI_BINARY["n_invalid_actions"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20_000, help="of CartPole")
    parser.add_argument("--out", type=Path, default=Path("results/reference/single_agent.json"))
    arguments = parser.parse_args()
    document = {
        "script": "benchmarks/single_agent_reference.py",
        "seeds": {"evaluation": f"{EVALUATION_SEED} + episode"},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "gymnasium")},
        "problems": problems(arguments.episodes),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, found in document["problems"].items():  # type: ignore[attr-defined]
        print(f"{name}: uniform legal {found['uniform_legal']:.4f}, best {found['best']:.4f}")


if __name__ == "__main__":
    main()
