"""What watching costs: CPU seconds of watched and unwatched iterations by turns; writes results/watch/cost.{json,md}.

Both trainings live in one process and take turns, the first of each pair by turns too, so that what else the machine does meets
both alike. CPU seconds of the process, one torch thread, the fast path as in `parity run`.

Usage, in the repository: python benchmarks/watch_cost.py [--task tiles taxi] [--iterations 40] [--out results/watch]
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs="+", default=["tiles", "taxi"])
    parser.add_argument("--framework", nargs="+", default=["rllib", "sb3"])
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--out", type=Path, default=ROOT / "results/watch")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    path = options.out / "cost.json"
    options.out.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for task in options.task:
        for framework in options.framework:
            known[f"{task}, {framework}"] = measured(task, framework, options.iterations)
            path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            print(task, framework, {k: v for k, v in known[f"{task}, {framework}"].items() if k != "cpu_s"}, flush=True)
    (options.out / "cost.md").write_text(page(known), encoding="utf-8")


def measured(task: str, framework: str, iterations: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        trainings = [steps(task, framework, None), steps(task, framework, Path(folder))]
        seconds: list[list[float]] = [[], []]
        for i in range(iterations + 2):
            for which in (0, 1) if i % 2 else (1, 0):
                begin = time.process_time()
                next(trainings[which])
                if i >= 2:  # the first ones warm up
                    seconds[which].append(time.process_time() - begin)
        plain, watched = (np.array(each) for each in seconds)
    ratios = watched / plain
    generator = np.random.default_rng(0)
    medians = [np.median(generator.choice(ratios, len(ratios))) for _ in range(2_000)]
    return {
        "cost": round(float(np.median(ratios)) - 1, 4),
        "interval_90": [round(float(q) - 1, 4) for q in np.quantile(medians, [0.05, 0.95])],
        "iteration_cpu_s": round(float(np.median(plain)), 4),
        "cpu_s": {"unwatched": plain.round(4).tolist(), "watched": watched.round(4).tolist()},
    }


def steps(task: str, framework: str, folder: Path | None) -> Any:
    """Trains an iteration at each ``next``."""
    from parity import WatchCallback, frameworks, watch
    from parity.frameworks.rllib.fast import accelerated
    from parity.task import registry

    loaded = registry.load(registry.resolve(task))
    if framework == "sb3":
        yield from _sb3_steps(loaded, None if folder is None else WatchCallback(folder))
        return
    config = accelerated(frameworks.get(framework).port(loaded, seed=0, device="cpu").config)
    import torch

    torch.set_num_threads(1)
    algorithm = (config if folder is None else watch(config, folder=folder)).build_algo()
    while True:
        yield algorithm.train()


def _sb3_steps(task: Any, watcher: Any) -> Any:
    """SB3's loop, given back after every update: ``learn`` runs in a thread that waits for its turn."""
    import threading

    from stable_baselines3.common.callbacks import BaseCallback, CallbackList

    from parity import frameworks

    model = frameworks.get("sb3").open(task, 0, "cpu", 1).model
    turn, done = threading.Semaphore(0), threading.Semaphore(0)

    class Waits(BaseCallback):
        def _on_rollout_start(self) -> None:
            done.release()
            turn.acquire()

        def _on_step(self) -> bool:
            return True

    callbacks = [*([] if watcher is None else [watcher]), Waits()]
    learn = functools.partial(model.learn, 10**9, callback=CallbackList(callbacks))
    threading.Thread(target=learn, daemon=True).start()
    done.acquire()
    while True:
        turn.release()
        done.acquire()
        yield None


def page(known: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {each['iteration_cpu_s']:.3f} | {100 * each['cost']:+.1f} % | "
        f"{100 * each['interval_90'][0]:+.1f} to {100 * each['interval_90'][1]:+.1f} % | {len(each['cpu_s']['watched'])} |"
        for name, each in known.items()
    ]
    lines = [
        "# What watching costs",
        "",
        "CPU seconds of watched against unwatched iterations, by turns in one process; the median of the ratios and its 90 % "
        "interval (bootstrap). Raw values: cost.json. Written by `python benchmarks/watch_cost.py`.",
        "",
        "| training | CPU s of an iteration | cost | interval | pairs |",
        "|---|--:|--:|--:|--:|",
        *rows,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
