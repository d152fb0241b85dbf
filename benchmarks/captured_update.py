"""An update as one CUDA graph against the same launched kernel by kernel: its time, and how far parameters differ.

Both train from one seed, on rollouts of the same length. The first updates differ by the last bits of sums alone; what is drawn
afterwards drifts apart, so that parameters are compared after two updates, of which the second is the first that is replayed.

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
from parity.frameworks.device import synchronizer
from parity.frameworks.rllib.arrays import parameters
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.fast import accelerated, captured
from parity.system.machine import describe
from parity.task.registry import load, resolve


def train(task: Any, framework: str, device: str, updates: int, devices: tuple[str, ...]) -> dict[str, Any]:
    """Seconds of each update, parameters after the second one, and why an update was not replayed."""
    captured.DEVICES = devices
    config = accelerated(frameworks.get(framework).port(task, 0, device).config)
    runner = make_env_runner(config)
    learner = config.build_learner(env=None, spaces=runner.get_spaces())
    torch.manual_seed(0)
    np.random.seed(0)
    wait = synchronizer(device) or (lambda: None)
    seconds, after = [], {}
    for update in range(updates):
        weights = learner.get_state(components=COMPONENT_RL_MODULE)
        runner.set_state({COMPONENT_RL_MODULE: weights[COMPONENT_RL_MODULE]})
        episodes = runner.sample()
        wait()
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
        if update == 1:
            after = {m: parameters(learner.module[m].unwrapped()) for m in learner.module.keys()}  # noqa: SIM118
    return {"seconds": seconds, "parameters": after, "left": learner.left}


def compare(name: str, framework: str, device: str, updates: int) -> dict[str, Any]:
    task = load(resolve(name))
    graph = train(task, framework, device, updates, (device,))
    launched = train(task, framework, device, updates, ())
    gaps = [
        float(np.abs(graph["parameters"][m][key] - value).max())
        for m, values in launched["parameters"].items()
        for key, value in values.items()
    ]
    # The first two set up and capture.
    of_graph, of_launched = (statistics.median(each["seconds"][2:]) for each in (graph, launched))
    return {
        "task": name,
        "framework": framework,
        "update_ms": 1000 * of_graph,
        "launched_ms": 1000 * of_launched,
        "times_as_fast": of_launched / of_graph,
        "capture_ms": 1000 * graph["seconds"][1],
        "largest_difference_of_a_parameter": max(gaps),
        "left": graph["left"],
        "seconds": {"graph": graph["seconds"], "launched": launched["seconds"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=["tiles", "taxi"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.task:
        for framework in ("rllib", "rllib-exact"):
            row = compare(name, framework, arguments.device, arguments.updates)
            rows.append(row)
            print(
                f"{name} {framework}: {row['update_ms']:.1f} ms as a graph, {row['launched_ms']:.1f} ms launched, "
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
