"""Environment steps per second of the tiles problem on one core, against the goal of 10,000.

Usage: python benchmarks/tiles_speed.py [--steps 50000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from parity_envs.tiles.env import TilesEnv

GOAL = 10_000
REPEATS = 3


def steps_per_second(env: TilesEnv, steps: int) -> float:
    """Wall-clock rate of legal play in a fixed random order, resets included."""
    order = np.random.default_rng(0).permuted(np.tile(np.arange(16), (1000, 1)), axis=1)
    env.reset(seed=0)
    episode = within = 0
    start = time.perf_counter()
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(order[episode % len(order), within])
        within += 1
        if terminated or truncated:
            env.reset()
            episode, within = episode + 1, 0
    return steps / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50_000)
    steps = parser.parse_args().steps
    for name, env in {"tiles": TilesEnv(), "tiles-100": TilesEnv(n_classes=100, horizon=8)}.items():
        rate = max(steps_per_second(env, steps) for _ in range(REPEATS))
        print(f"{name}: {rate:,.0f} steps/s, {rate / GOAL:.1f} times the goal of {GOAL:,} (best of {REPEATS})")


if __name__ == "__main__":
    main()
