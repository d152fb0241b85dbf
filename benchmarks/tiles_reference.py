"""Reference returns of the tiles problems, without learning: what no looking gives, and what looking gives.

Policies, each played through the environment on the same seeds:
    uniform_legal: uniform over the tiles not yet revealed.
    best_fixed_order: the best tiles for everyone; does not look. Every set of tiles is scored on seeds of its own, the best
        ones again on more of them, and the winner is played on the seeds of the others.
    greedy: the tile whose code varies most between the classes, under the posterior (trace of the between-class variance).
    rollout: one step of policy improvement on greedy. Each of greedy's six favourites is followed by greedy play in episodes
        drawn from the posterior; where one is better by two standard errors, it is taken. Returns are paired with greedy's:
        what rollout adds bounds what is left above greedy to a policy that looks one step further.

Usage: python benchmarks/tiles_reference.py [--episodes 20000] [--out results/reference/tiles.json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parity_envs.tiles.classifier import CODES_SEED, N_TILES, TileClassifier, posterior
from parity_envs.tiles.env import RESOLUTION_COST, RESOLUTION_NOISE, Observation, TilesEnv
from rich.progress import track

# Ranges of episode seeds that do not meet.
EVALUATION_SEED = 2_000_000_000
SEARCH_SEED = 3_000_000_000

SMALL: dict[str, Any] = {"n_classes": 16, "horizon": 4, "noise": 1.5}
FAVOURITES = 6
Policy = Callable[[Observation, np.random.Generator], int]


def progress(items: Sequence[Any], name: str) -> Iterable[Any]:
    return track(items, description=name, transient=True, disable=not sys.stdout.isatty())


def play(env: TilesEnv, policy: Policy, episodes: int, name: str, resolution: int | None = None) -> NDArray[np.float64]:
    """Undiscounted returns float64 ``[episodes]`` on seeds ``EVALUATION_SEED ...``; ``resolution`` fixes the resolution."""
    returns = np.zeros(episodes)
    for k in progress(range(episodes), name):
        generator = np.random.default_rng([EVALUATION_SEED, k])
        observation, _ = env.reset(seed=EVALUATION_SEED + k)
        over = False
        while not over:
            tile = policy(observation, generator)
            step = env.step(tile) if resolution is None else env.step_with_resolution(tile, resolution)
            observation, reward, terminated, truncated, _ = step
            returns[k] += reward
            over = terminated or truncated
    return returns


def uniform_legal(observation: Observation, generator: np.random.Generator) -> int:
    return int(generator.choice(np.flatnonzero(observation["action_mask"])))


def fixed_order(order: tuple[int, ...]) -> Policy:
    return lambda observation, _: next(tile for tile in order if observation["action_mask"][tile])


class Greedy:
    """Reveals the tile with the largest between-class variance of its code under the posterior."""

    def __init__(self, classifier: TileClassifier) -> None:
        self._codes = classifier.codes.reshape(classifier.n_classes, -1)
        self._square_norms = (classifier.codes**2).sum(axis=-1)
        self._shape = classifier.codes.shape[1:]

    def __call__(self, observation: Observation, _: np.random.Generator) -> int:
        weights = observation["softmax"].astype(np.float64)[None]
        return int(self.scores(weights, observation["action_mask"][None] == 1)[0].argmax())

    def scores(self, weights: NDArray[np.float64], legal: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Variances ``[B, 16]`` from posteriors ``[B, K]``; -1 where not legal (bool ``[B, 16]``)."""
        means = (weights @ self._codes).reshape(-1, *self._shape)
        return np.where(legal, weights @ self._square_norms - (means**2).sum(axis=-1), -1.0)


class Rollout:
    """Greedy, corrected by simulating what its favourites lead to; for one resolution and no time limit.

    Args:
        env: gives the problem; not played.
        simulations: episodes per favourite and decision.
    """

    def __init__(self, env: TilesEnv, simulations: int) -> None:
        self._classifier, self._greedy = env.classifier, Greedy(env.classifier)
        self._noise, self._horizon, self._simulations = env.noise, env.horizon, simulations

    def __call__(self, observation: Observation, generator: np.random.Generator) -> int:
        weights = observation["softmax"].astype(np.float64)
        legal = observation["action_mask"] == 1
        scores = self._greedy.scores(weights[None], legal[None])[0]
        favourites = np.argsort(-scores)[: min(FAVOURITES, int(legal.sum()))]
        values = self._simulate(weights, legal, favourites, generator)
        gain = values - values[0]
        error = gain.std(axis=1) / np.sqrt(self._simulations)
        clear = gain.mean(axis=1) > 2 * error
        return int(favourites[np.where(clear, gain.mean(axis=1), 0.0).argmax()])

    def _simulate(
        self,
        weights: NDArray[np.float64],
        legal: NDArray[np.bool_],
        favourites: NDArray[np.intp],
        generator: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Expected final posterior of the true class ``[favourites, simulations]``, on the same images for each."""
        n, codes = self._simulations, self._classifier.codes
        labels = generator.choice(len(weights), size=n, p=weights / weights.sum())
        values = codes[labels] + self._noise * generator.standard_normal((n, *codes.shape[1:]))
        evidence = log_likelihoods(self._classifier, values, self._noise)
        image = np.tile(np.arange(n), len(favourites))
        rows = np.arange(len(image))
        total = np.log(np.maximum(weights, 1e-30))[None].repeat(len(image), axis=0)
        open_tiles = legal[None].repeat(len(image), axis=0)
        tiles = favourites.repeat(n)
        steps_left = self._horizon - int((~legal).sum())
        for step in range(steps_left):
            if step:
                tiles = self._greedy.scores(posterior(total), open_tiles).argmax(axis=1)
            total += evidence[image, tiles]
            open_tiles[rows, tiles] = False
        # Given the tiles, the label is distributed as the posterior: sum p^2 is the expectation of p[label].
        return (posterior(total) ** 2).sum(axis=1).reshape(len(favourites), n)


def log_likelihoods(classifier: TileClassifier, values: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """``[n, 16, K]`` from noisy codes of whole images, ``[n, 16, 9]``."""
    per_tile = [classifier.log_likelihood(tile, values[:, tile], noise) for tile in range(N_TILES)]
    return np.stack(per_tile, axis=1)


def best_fixed_order(env: TilesEnv, episodes: int) -> tuple[int, ...]:
    """The best set of ``horizon`` tiles; its order does not matter to the return of a whole episode."""
    labels, values = np.zeros(episodes, dtype=int), []
    for k in range(episodes):
        env.reset(seed=SEARCH_SEED + k)
        labels[k] = env.label
        values.append([env.noisy_code(tile) for tile in range(N_TILES)])
    evidence = log_likelihoods(env.classifier, np.array(values), env.noise)

    def score(tiles: tuple[int, ...], n: int) -> float:
        return float(posterior(evidence[:n, list(tiles)].sum(axis=1))[np.arange(n), labels[:n]].mean())

    sets = list(itertools.combinations(range(N_TILES), env.horizon))
    few = max(500, episodes // 20)
    ranked = sorted(progress(sets, "fixed orders"), key=lambda s: score(s, few), reverse=True)
    return max(ranked[:50], key=lambda s: score(s, episodes))


def summary(returns: NDArray[np.float64], **more: Any) -> dict[str, Any]:
    error = float(returns.std(ddof=1) / np.sqrt(len(returns)))
    return {"mean": round(float(returns.mean()), 4), "standard_error": round(error, 4), "episodes": len(returns)} | more


def measure(env: TilesEnv, episodes: int) -> dict[str, Any]:
    """Every policy that applies to the problem."""
    greedy = Greedy(env.classifier)
    found = {
        "uniform_legal": summary(play(env, uniform_legal, episodes, "uniform legal")),
        "greedy": summary(returns := play(env, greedy, episodes, "greedy")),
    }
    if env.res_actions > 1:
        found |= {
            f"greedy_at_resolution_{res}": summary(play(env, greedy, episodes, f"resolution {res}", res))
            for res in range(env.res_actions)
        }
    elif env.has_fixed_length:
        order = best_fixed_order(env, episodes)
        found["best_fixed_order"] = summary(play(env, fixed_order(order), episodes, "fixed order"), tiles=order)
        few, simulations = max(2, episodes * 4 // env.horizon // 10), 256
        improved = play(env, Rollout(env, simulations), few, "rollout")
        found["rollout"] = summary(
            improved, simulations=simulations, minus_greedy_on_the_same_seeds=summary(improved - returns[:few])
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("results/reference/tiles.json"))
    arguments = parser.parse_args()
    problems: dict[str, dict[str, Any]] = {
        "tiles": SMALL,
        "tiles-100": SMALL | {"n_classes": 100, "horizon": 8},
        "tiles-time-limit": SMALL | {"time_limit": (2, 4)},
        "tiles-resolution": SMALL | {"res_actions": 3},
    }
    document = {
        "script": "benchmarks/tiles_reference.py",
        "seeds": {
            "codes": CODES_SEED,
            "evaluation": f"{EVALUATION_SEED} + episode",
            "search": f"{SEARCH_SEED} + episode",
        },
        "resolution": {"noise_factor": RESOLUTION_NOISE, "cost": RESOLUTION_COST},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "gymnasium")},
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()},
        "problems": {
            name: {"arguments": kwargs} | measure(TilesEnv(**kwargs), arguments.episodes)
            for name, kwargs in problems.items()
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, found in document["problems"].items():
        print(name)
        for policy, result in found.items():
            if policy != "arguments":
                print(f"  {policy}: {result['mean']:.4f} ± {result['standard_error']:.4f}")
                if "minus_greedy_on_the_same_seeds" in result:
                    gap = result["minus_greedy_on_the_same_seeds"]
                    print(f"    minus greedy: {gap['mean']:+.4f} ± {gap['standard_error']:.4f}")


if __name__ == "__main__":
    main()
