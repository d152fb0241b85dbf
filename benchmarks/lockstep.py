"""SB3 and rllib-exact train side by side from one stream of randomness: do they compute the same for whole iterations?

Three runs from the same weights and seeds: MaskablePPO, rllib-exact, and as a control rllib-exact with one weight moved to
the next float. The control shows what float noise alone does to a training, and so what bit-identity is worth.

Writes TASK.json (per iteration: mean return of both sides, largest difference of a parameter; where the control parts; what
it ran on) and TASK.svg.

Usage: python benchmarks/lockstep.py [--task tiles] [--iterations 25] [--out results/lockstep]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from parity import Task
from parity.capture.lockstep_common import Length
from parity.capture.rllib.lockstep import LockstepRun
from parity.frameworks.randomness import undisturbed
from parity.frameworks.rllib.exact.framework import RllibExact
from parity.ladder.divergence import Divergence, Place, diverge, mean_returns
from parity.ladder.tolerances import CPU
from parity.report.svg import SVG_STYLE, write_svg
from parity.results.capture import Lockstep
from parity.system.machine import describe
from parity.task import registry as tasks

PACKAGES = ("ray", "stable-baselines3", "sb3-contrib", "torch", "numpy", "gymnasium")
COLOURS = {"sb3": "#4c566a", "rllib-exact": "#d08700", "control": "#b0b7c0"}


def run(task: Task, iterations: int, flip: bool) -> Lockstep:
    """``flip``: moves one weight of the port to the next float before the first iteration."""
    name = "control" if flip else "rllib-exact"
    capture = Lockstep(asked=iterations)
    start = time.perf_counter()
    with undisturbed():
        both = LockstepRun(task, RllibExact().port(task, 0, "cpu"), Length.whole(task, iterations))
        if flip:
            weight = next(p for p in both.port.parameters.values() if p.ndim > 1).view(-1)
            weight[0] = torch.nextafter(weight[0], torch.tensor(math.inf))
            both.port.synchronise()
        for i in range(iterations):
            both.iterate()
            print(f"{name}: iteration {i + 1} of {iterations}, {time.perf_counter() - start:.0f} s", flush=True)
        both.store(capture)
        both.close()
    return capture


def largest_difference(capture: Lockstep) -> list[float]:
    """Of a parameter, after each iteration."""
    return [float(value) for value in capture.largest.max(axis=1)]


def place(found: Place | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {key: value for key, value in dataclasses.asdict(found).items() if value is not None} | {
        "words": found.words()
    }


def describe_run(capture: Lockstep, found: Divergence) -> dict[str, Any]:
    return {
        "iterations_held": found.iterations,
        "minibatches_held": found.minibatches,
        "first_bit": place(found.first_bit),
        "parted": place(found.parted),
        "origin": found.origin,
        "mean_return": {
            "sb3": [round(float(r), 6) for r in mean_returns(capture.sb3)],
            "rllib-exact": [round(float(r), 6) for r in mean_returns(capture.port)],
        },
        "largest_parameter_difference": largest_difference(capture),
    }


def draw(exact: dict[str, Any], control: dict[str, Any], steps: int, path: Path) -> None:
    figure = Figure(figsize=(7.5, 5.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    at = steps * np.arange(1, len(exact["largest_parameter_difference"]) + 1)
    returns = exact["mean_return"]
    top.plot(
        at,
        control["mean_return"]["rllib-exact"],
        color=COLOURS["control"],
        label="control: one weight's last bit flipped",
    )
    top.plot(at, returns["sb3"], color=COLOURS["sb3"], linewidth=6, alpha=0.45, label="sb3")
    top.plot(at, returns["rllib-exact"], color=COLOURS["rllib-exact"], linewidth=1.6, label="rllib-exact")
    top.set_ylabel("mean return of the iteration's episodes")
    top.legend(frameon=False, loc="lower right")
    for name, run_ in (("control", control), ("rllib-exact", exact)):
        bottom.plot(at, run_["largest_parameter_difference"], color=COLOURS[name], marker=".", label=name)
    bottom.set_yscale("symlog", linthresh=1e-9)
    bottom.set_ylim(bottom=-2e-10)
    bottom.set_ylabel("largest difference of a\nparameter from sb3")
    bottom.set_xlabel("environment steps")
    write_svg(figure, path, "Lockstep")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="tiles")
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--out", type=Path, default=Path("results/lockstep"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    task = tasks.load(tasks.resolve(arguments.task))
    found = {}
    for name, flip in (("rllib-exact", False), ("control", True)):
        capture = run(task, arguments.iterations, flip)
        found[name] = describe_run(capture, diverge(capture, CPU))
    document = {
        "script": "benchmarks/lockstep.py",
        "task": task.id,
        "iterations": arguments.iterations,
        "ppo": dataclasses.asdict(task.ppo),
        "seed": 0,
        "threads": 1,
        "versions": {name: version(name) for name in PACKAGES},
        "machine": describe(gpu=None) | {"os": platform.system()},
        "runs": found,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / task.id
    target.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    with mpl.rc_context(SVG_STYLE):
        draw(found["rllib-exact"], found["control"], task.ppo.rollout_steps, target.with_suffix(".svg"))
    for name, each in found.items():
        where = (
            "to the last bit"
            if each["first_bit"] is None
            else f"until {(each['parted'] or {}).get('words', 'the end')}"
        )
        print(
            f"{name}: {each['iterations_held']} iterations, {each['minibatches_held']} minibatches in lockstep {where}"
        )


if __name__ == "__main__":
    main()
