"""Frameworks side by side in one process: each trains an iteration in turn, so that a slow minute meets all of them.

`parity bench` starts a process for every round, which takes longer than what it measures where a GPU is there for minutes.
Here all sessions of a point are open at once, on one GPU, with one thread. Written as JSON: seconds of every iteration and its
phases, the task's limit, and where the time goes by hooks, in iterations of their own.

Usage: python benchmarks/gpu_pairs.py --out FILE [--task tiles tiles-100] [--device cuda] [--rounds 6] [--at batch_size=64 ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from parity import frameworks
from parity.bench.limit import limit_of_task
from parity.bench.sentence import LIMIT
from parity.bench.variations import varied
from parity.frameworks.device import synchronizer
from parity.frameworks.phases import Phases
from parity.system.machine import describe
from parity.task.registry import load, resolve

WARMUP = 3  # an update is captured in the second one


def measure(task: Any, names: list[str], device: str, rounds: int, with_details: bool) -> dict[str, Any]:
    """Seconds and phases of every iteration, by framework."""
    sessions = {name: frameworks.get(name).open(task, 0, device, 1) for name in names if name != LIMIT}
    train_of = {name: session.train for name, session in sessions.items()}
    if LIMIT in names:
        limit = limit_of_task(task, 0, device)
        # It counts from 0 at each call.
        train_of[LIMIT] = lambda steps, on_iteration: limit.train(steps - done_of[LIMIT], on_iteration)
    iterations: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    steps = task.ppo.n_envs * task.ppo.n_steps
    wait = synchronizer(device) or (lambda: None)

    def train(name: str, record: bool) -> None:
        seen: list[Any] = []
        begun = time.perf_counter()
        done = done_of[name]
        train_of[name](done + steps, seen.append)
        wait()
        seconds = time.perf_counter() - begun
        done_of[name] = seen[-1].steps + (done if name == LIMIT else 0)
        if record:
            phases = {field: getattr(seen[-1], field) for field in ("sample_s", "returns_s", "update_s")}
            iterations[name].append({"steps": done_of[name] - done, "seconds": seconds} | phases)

    done_of = dict.fromkeys(names, 0)
    try:
        for turn in range(WARMUP + rounds):
            for name in names if turn % 2 else reversed(names):
                train(name, turn >= WARMUP)
        result: dict[str, Any] = {"iterations": iterations, "rates": {n: _rate(seen) for n, seen in iterations.items()}}
        result["slow_paths"] = {name: session.slow_paths() for name, session in sessions.items()}
        result["module_devices"] = {name: session.module_devices() for name, session in sessions.items()}
        if with_details:
            result["phases"] = {
                n: _phases(each, functools.partial(train, n, False), device) for n, each in sessions.items()
            }
        return result
    finally:
        for session in sessions.values():
            session.close()


def _rate(seen: list[dict[str, float]]) -> float:
    """Environment steps per second, the median iteration's."""
    return statistics.median(each["steps"] / each["seconds"] for each in seen)


def _phases(session: Any, train: Any, device: str) -> dict[str, float]:
    """Seconds of an iteration by phase."""
    phases = Phases(synchronizer(device))
    session.watch_phases(phases)
    with phases.watching_torch():
        train()
        phases.begin()
        train()
        train()
        phases.settle()
        return {name: of.wall_s for name, of in phases.means(2).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=["tiles", "tiles-100"])
    parser.add_argument("--frameworks", nargs="+", default=["sb3", "rllib", "rllib-exact", LIMIT])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--at", nargs="*", default=[""], help="points, each NAME=VALUE,NAME=VALUE")
    parser.add_argument("--no-details", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    points = []
    for name in arguments.task:
        for given in arguments.at:
            at = {key: int(value) for key, value in (each.split("=") for each in given.split(",") if each)}
            task = varied(load(resolve(name)), at)
            point = measure(task, arguments.frameworks, arguments.device, arguments.rounds, not arguments.no_details)
            points.append({"task": name, "at": at, "ppo": dataclasses.asdict(task.ppo)} | point)
            base = point["rates"][arguments.frameworks[0]]
            print(
                f"{name} {given}: " + ", ".join(f"{n} {r:,.0f} ({r / base:.2f})" for n, r in point["rates"].items()),
                flush=True,
            )
            card = torch.cuda.get_device_name() if arguments.device == "cuda" else None
            document = {"machine": describe(card), "torch": torch.__version__, "points": points}
            arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
