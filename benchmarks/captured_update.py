"""An update as one CUDA graph against the same launched kernel by kernel: its time, and how far parameters differ.

Both train from one seed. Parameters are compared in true float32 after two updates, of which the second is the first that is
replayed: what is drawn afterwards drifts apart.

Usage: python benchmarks/captured_update.py [--task tiles taxi] [--device cuda] [--updates 12] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from parity import frameworks
from parity.frameworks.device import exact_arithmetic, synchronizer
from parity.frameworks.rllib.arrays import parameters
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.fast import accelerated, captured
from parity.system.machine import describe
from parity.task.registry import load, resolve


def train(task: Any, framework: str, device: str, updates: int, with_graphs: bool) -> dict[str, Any]:
    """Seconds of each update, parameters at the end, and why an update was not replayed."""
    captured.DEVICES = (device,) if with_graphs else ()
    config = accelerated(frameworks.get(framework).port(task, 0, device).config)
    runner = make_env_runner(config)
    learner = config.build_learner(env=None, spaces=runner.get_spaces())
    torch.manual_seed(0)
    np.random.seed(0)
    wait = synchronizer(device) or (lambda: None)
    seconds = []
    for update in range(updates):
        weights = learner.get_state(components=COMPONENT_RL_MODULE)
        runner.set_state({COMPONENT_RL_MODULE: weights[COMPONENT_RL_MODULE]})
        episodes = runner.sample()
        begun = time.perf_counter()
        learner.update(
            episodes=episodes,
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: update},
            num_epochs=config.num_epochs,
            minibatch_size=config.minibatch_size,
            shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
        )
        wait()
        seconds.append(time.perf_counter() - begun)
    at_the_end = {m: parameters(learner.module[m].unwrapped()) for m in learner.module.keys()}  # noqa: SIM118
    return {"update_s": seconds, "parameters": at_the_end, "left": learner.left}


def times(name: str, framework: str, device: str, updates: int) -> dict[str, Any]:
    task = load(resolve(name))
    graph, launched = (train(task, framework, device, updates, with_graphs) for with_graphs in (True, False))
    # The first two set up and capture.
    of_graph, of_launched = (statistics.median(each["update_s"][2:]) for each in (graph, launched))
    return {
        "task": name,
        "framework": framework,
        "update_ms": 1000 * of_graph,
        "launched_ms": 1000 * of_launched,
        "times_as_fast": of_launched / of_graph,
        "left": graph["left"],
        "seconds": {"graph": graph["update_s"], "launched": launched["update_s"]},
    }


def largest_difference(name: str, framework: str, device: str) -> float:
    """Of a parameter, after two updates."""
    task = load(resolve(name))
    graph, launched = (train(task, framework, device, 2, graphs)["parameters"] for graphs in (True, False))
    return max(float(np.abs(graph[m][key] - value).max()) for m, of in launched.items() for key, value in of.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=["tiles", "taxi"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    every = [(name, framework) for name in arguments.task for framework in ("rllib", "rllib-exact")]
    rows = [times(*each, arguments.device, arguments.updates) for each in every]
    exact_arithmetic()
    for row, each in zip(rows, every, strict=True):
        row["largest_difference_of_a_parameter"] = largest_difference(*each, arguments.device)
        print(
            f"{' '.join(each)}: {row['update_ms']:.1f} ms as a graph, {row['launched_ms']:.1f} ms launched, "
            f"{row['times_as_fast']:.2f} times as fast; largest difference {row['largest_difference_of_a_parameter']:.2g}"
            + "".join(f"; {each}" for each in row["left"]),
            flush=True,
        )
    if arguments.out:
        card = torch.cuda.get_device_name() if arguments.device == "cuda" else None
        document = {"machine": describe(card), "torch": torch.__version__, "rows": rows}
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
