"""Speed: seconds by phase as they were seen during training, where trials shared the machine, so that nothing is decided by
them; and what ``parity bench`` measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parity.bench.sentence import ratio_words
from parity.results.bench import BENCH_FILE, Ratio, load_bench_file
from parity.results.study import TrialRecord

# "rest" is training time that no phase accounts for: the framework's own bookkeeping, and what it cannot tell apart.
PHASES = {
    "sample": "sampling",
    "returns": "returns",
    "update": "update",
    "rest": "rest",
    "evaluate": "evaluation",
}


@dataclass(frozen=True)
class PhaseTimes:
    """Seconds per 1000 environment steps by phase, median over trials; NaN where the framework cannot tell."""

    framework: str
    seconds: dict[str, float]
    trials: int


def measured(study: Path, tasks: Sequence[str]) -> dict[str, list[str]]:
    """What ``parity bench --study`` measured of each task, in sentences; empty where it did not.

    Raises:
        CannotStart: ``bench.json`` cannot be read.
    """
    path = study / BENCH_FILE
    if not path.is_file():
        return {task: [] for task in tasks}
    file = load_bench_file(path)
    if file.reason is not None:
        return {task: [f"Measured by `parity bench`, not to its end: {file.reason}."] for task in tasks}
    by_task = file.by_task()
    ratios = {task: by_task[task].ratio.items() if task in by_task else () for task in tasks}
    return {
        task: [f"Measured by `parity bench`: {ratio_words(task, *pair)}." for pair in pairs]
        for task, pairs in ratios.items()
    }


def measured_ratios(study: Path, task: str) -> dict[str, Ratio]:
    """What ``parity bench --study`` measured of a task to its end, by pair, such as ``"rllib/sb3"``."""
    path = study / BENCH_FILE
    if not path.is_file() or (file := load_bench_file(path)).reason is not None:
        return {}
    by_task = file.by_task()
    return by_task[task].ratio if task in by_task else {}


def phase_times(framework: str, trials: Sequence[TrialRecord]) -> PhaseTimes | None:
    """None where no trial left a timing."""
    rows = [row for trial in trials if (row := _of_trial(trial)) is not None]
    if not rows:
        return None
    seconds = {}
    for phase in PHASES:
        finite = [row[phase] for row in rows if math.isfinite(row[phase])]
        seconds[phase] = float(np.median(finite)) if finite else math.nan
    return PhaseTimes(framework, seconds, len(rows))


def _of_trial(trial: TrialRecord) -> dict[str, float] | None:
    timing, curve = trial.timing, trial.curve
    if timing is None or timing.empty:
        return None
    thousands = float(timing["steps"].iloc[-1]) / 1000
    if not thousands > 0:
        return None
    row = {
        phase: float(timing[f"{phase}_s"].mean()) * len(timing) / thousands if f"{phase}_s" in timing else math.nan
        for phase in ("sample", "returns", "update", "evaluate")
    }
    row["rest"] = math.nan
    if curve is not None and not curve.empty and curve["steps"].iloc[-1] > 0 and "train_s" in curve:
        trained = float(curve["train_s"].iloc[-1]) * 1000 / float(curve["steps"].iloc[-1])
        row["rest"] = max(0.0, trained - float(np.nansum([row["sample"], row["returns"], row["update"]])))
    return row
