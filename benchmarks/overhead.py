"""What `parity run` adds to a training: its trials against a bare loop over the same work, by turns.

    python benchmarks/overhead.py [--task tiles] [--frameworks sb3 rllib] [--rounds 6] [--iterations 12] [--out FOLDER]

Bare is `model.learn` and `algorithm.train` with nothing around them, in a process of its own. A trial has its audit of masks,
`parity.watch`, its logs and snapshots beside it; its evaluations, which the bare loop has not, are taken off. Seconds of the
wall clock from the end of the first iteration to the end of the last, one torch thread. Writes overhead.json and overhead.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]


def bare(task: str, framework: str, iterations: int) -> float:
    """Seconds per iteration of the framework's own loop, in a new process."""
    command = [sys.executable, __file__, "--bare", "--task", task, "--frameworks", framework]
    done = subprocess.run([*command, "--iterations", str(iterations)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def bare_loop(task: str, framework: str, iterations: int) -> float:
    import ray
    from watch_cost import steps

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    training = steps(task, framework, None)
    next(training)
    begin = time.perf_counter()
    for _ in range(iterations - 1):
        next(training)
    return (time.perf_counter() - begin) / (iterations - 1)


def trial(task: str, framework: str, iterations: int) -> float:
    """Seconds per iteration of a trial of `parity run`, without its evaluations."""
    from parity.task import registry

    steps = iterations * registry.load(registry.resolve(task)).ppo.rollout_steps
    with tempfile.TemporaryDirectory() as out:
        arguments = ["--task", task, "--frameworks", framework, "--seeds", "1", "--steps", str(steps)]
        command = [sys.executable, "-m", "parity", "run", *arguments, "--out", out, "--name", "overhead"]
        subprocess.run(command, capture_output=True, check=False)  # one framework: nothing to compare, exit 3
        (folder,) = Path(out, "overhead", "trials").glob("*/*/0")
        timing, curve = pd.read_parquet(folder / "timing.parquet"), pd.read_parquet(folder / "curve.parquet")
    # Without the first iteration, which warms up, and without evaluations: that of step 0 is what stands between the two clocks
    # at the second one; the last begins where the clocks stop.
    first = float(timing[["sample_s", "returns_s", "update_s"]].iloc[0].sum())
    evaluations = float(curve["wall_s"].iloc[1] - curve["train_s"].iloc[1]) + timing["evaluate_s"].iloc[:-1].sum()
    return (float(curve["wall_s"].iloc[-1]) - evaluations - first) / (len(timing) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="tiles")
    parser.add_argument("--frameworks", nargs="+", default=["sb3", "rllib"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--out", type=Path, default=ROOT / "results/overhead")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(bare_loop(options.task, options.frameworks[0], options.iterations))
        return
    seconds: dict[str, dict[str, list[float]]] = {name: {"bare": [], "trial": []} for name in options.frameworks}
    for i in range(options.rounds):
        for name, each in seconds.items():
            for kind, measured in [("bare", bare), ("trial", trial)][:: 1 if i % 2 else -1]:
                each[kind].append(measured(options.task, name, options.iterations))
            print(name, i, each["bare"][-1], each["trial"][-1], flush=True)
    generator = np.random.default_rng(0)
    rows = {}
    for name, each in seconds.items():
        ratios = np.array(each["trial"]) / np.array(each["bare"])
        medians = [np.median(generator.choice(ratios, len(ratios))) for _ in range(2_000)]
        low, high = np.quantile(medians, [0.05, 0.95])
        rows[name] = {"overhead": float(np.median(ratios)) - 1, "interval_90": [low - 1, high - 1], "seconds": each}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "overhead.json").write_text(json.dumps({options.task: rows}, indent=1) + "\n", encoding="utf-8")
    lines = [
        "# What `parity run` adds to a training",
        "",
        f"`{options.task}`, seconds of an iteration in a trial against a bare loop, {options.rounds} rounds by turns; the "
        "median of the ratios and its 90 % interval (bootstrap). Written by `python benchmarks/overhead.py`.",
        "",
        "| framework | bare, s | in a trial, s | overhead | interval |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, row in rows.items():
        low, high = (100 * each for each in row["interval_90"])
        medians = [float(np.median(row["seconds"][kind])) for kind in ("bare", "trial")]
        lines.append(
            f"| {name} | {medians[0]:.3f} | {medians[1]:.3f} | {100 * row['overhead']:+.1f} % | {low:+.1f} to {high:+.1f} % |"
        )
    (options.out / "overhead.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
