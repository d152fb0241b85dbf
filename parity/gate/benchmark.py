"""``benchmark.json`` for github-action-benchmark, tool ``customBiggerIsBetter``: its history of scores and speeds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.results.baseline import TaskBaseline
from parity.results.bench import TaskRounds
from parity.results.summary import METRIC_WORDS, SB3, Summary

MEASURED = "mean of the rounds of parity bench"
OBSERVED = "observed while trials shared the machine"


def benchmark_json(summary: Summary, tasks: Mapping[str, TaskBaseline]) -> str:
    """A list of ``{name, unit, value, range, extra}``, larger is better; what has no finite value is left out."""
    entries = [entry for name, task in tasks.items() for entry in _task(name, task, summary)]
    return json.dumps([entry for entry in entries if math.isfinite(entry["value"])], indent=1) + "\n"


def _task(name: str, task: TaskBaseline, summary: Summary) -> Iterator[dict[str, Any]]:
    trials = summary.tasks[name].trials
    for framework, side in task.frameworks.items():
        for metric, words in METRIC_WORDS.items():
            scores = [getattr(trial, metric) for trial in trials if trial.framework == framework]
            yield _entry(f"{name} {framework} {words}", "normalised score", scores, f"mean of {len(scores)} seeds")
        rates = [run.env_steps_per_s for run in side.runs]
        yield _entry(f"{name} {framework} observed throughput", "env steps/s", rates, OBSERVED)
    if task.bench is not None:
        yield from _bench(name, task.bench)


def _bench(name: str, bench: TaskRounds) -> Iterator[dict[str, Any]]:
    for framework, rates in bench.rounds.items():
        yield _entry(f"{name} {framework} throughput", "env steps/s", rates, MEASURED)
    for port in bench.ports:
        yield _entry(f"{name} {port}/{SB3} throughput", "ratio", bench.ratios(port), MEASURED)


def _entry(name: str, unit: str, values: Sequence[float | None], extra: str) -> dict[str, Any]:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    entry = {"name": name, "unit": unit, "value": float(np.mean(finite)) if finite else math.nan}
    if len(finite) > 1:
        entry["range"] = f"± {np.std(finite, ddof=1):.3g}"
    return {**entry, "extra": extra}
