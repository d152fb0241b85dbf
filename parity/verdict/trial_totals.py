"""Totals that a summary carries and that are no statistics: mask counts, and the throughput seen during training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from parity.results.summary import MaskCounts, MaskTotals, ObservedThroughput, PhaseSeconds
from parity.verdict.task_runs import Run

_COUNTS = ("decisions", "violations", "empty")


def mask_totals(runs: Sequence[Run]) -> MaskTotals:
    """Decisions, illegal actions and empty masks of a framework's trials, together and by phase."""
    masks = [run.trial.masks for run in runs if run.trial is not None and run.trial.masks is not None]
    phases = {
        phase: {key: sum(int(counts.get(phase, {}).get(key, 0)) for counts in masks) for key in _COUNTS}
        for phase in ("sampling", "evaluation")
    }
    return MaskTotals(
        **{key: sum(counts[key] for counts in phases.values()) for key in _COUNTS},
        sampling=MaskCounts(**phases["sampling"]),
        evaluation=MaskCounts(**phases["evaluation"]),
    )


def observed_throughput(runs: Sequence[Run]) -> ObservedThroughput:
    """Median over a framework's trials of steps per second (without evaluation) and of mean seconds per phase.

    Devices are those that any component of any trial was on; memory is the largest peak of a trial. Trials shared the
    machine while this was measured. All fields are None without a complete trial.
    """
    done = [run.trial for run in runs if run.curve is not None and run.trial is not None]
    if not done:
        return ObservedThroughput()
    rates = [rate for trial in done if (rate := env_steps_per_s(trial.curve)) is not None]
    timings = [trial.timing for trial in done if trial.timing is not None and not trial.timing.empty]
    metas = [trial.meta for trial in done if trial.meta is not None]
    phases = {
        phase: _median([float(timing[f"{phase}_s"].mean()) for timing in timings])
        for phase in ("sample", "returns", "update", "evaluate")
    }
    memory = [meta.peak_memory_mb for meta in metas if meta.peak_memory_mb is not None]
    threads = [meta.threads for meta in metas if meta.threads is not None]
    return ObservedThroughput(
        env_steps_per_s=_median(rates) if rates else None,
        phases_s=PhaseSeconds(**phases) if timings else None,
        device=", ".join(sorted({device for meta in metas for device in meta.devices.values()})) or None,
        threads=max(threads, default=None),
        peak_memory_mb=max(memory, default=None),
    )


def env_steps_per_s(curve: pd.DataFrame | None) -> float | None:
    """Environment steps per second of training, evaluation left out, of one run; None where it was not timed."""
    if curve is None or curve.empty:
        return None
    last = curve.iloc[-1]
    return float(last["steps"] / last["train_s"]) if last.get("train_s", math.nan) > 0 else None


def _median(values: Sequence[float]) -> float:
    """Median of the finite values, NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan
