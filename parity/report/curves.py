"""Learning curves as arrays: every seed's, and the mean over seeds with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from parity.results.study import StudyRecord, agent_column, agents_of
from parity.results.summary import TaskSummary
from parity.verdict.statistics import normalised_score

Floats = NDArray[np.float64]
Policy = Literal["deterministic", "sampled"]
Axis = Literal["steps", "train_s"]

POLICIES: tuple[Policy, ...] = ("deterministic", "sampled")
AXES: tuple[Axis, ...] = ("steps", "train_s")
CONFIDENCE = 0.95
_PREFIX: dict[Policy, str] = {"deterministic": "", "sampled": "sampled_"}


@dataclass(frozen=True)
class SeedCurve:
    """One trial's curve. A trial that is not ``complete`` is shown, and is no part of the mean.

    ``agent``: whose returns they are where that is not the learning agent.
    """

    framework: str
    seed: int
    complete: bool
    table: pd.DataFrame
    agent: str | None = None

    def x(self, axis: Axis) -> Floats:
        return self._column(axis)

    def returns(self, policy: Policy) -> Floats:
        """Mean episode return of each evaluation, float64 ``[evaluations]``; NaN where it is no finite number."""
        values = self._column(self._name(f"{_PREFIX[policy]}return_mean"))
        return np.where(np.isfinite(values), values, np.nan)

    def deviations(self, policy: Policy) -> Floats:
        """Standard deviation over the episodes of each evaluation."""
        return self._column(self._name(f"{_PREFIX[policy]}return_std"))

    def _name(self, column: str) -> str:
        return column if self.agent is None else agent_column(self.agent, column)

    def episodes(self, policy: Policy) -> list[int]:
        column = f"{_PREFIX[policy]}returns"
        return [len(returns) for returns in self.table[column]] if column in self.table else [0] * len(self.table)

    def _column(self, name: str) -> Floats:
        if name not in self._columns:
            return np.full(len(self.table), np.nan)
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        # Every figure asks for them, and means for those of every seed.
        numbers = self.table.select_dtypes("number")
        return {str(name): numbers[name].to_numpy(np.float64) for name in numbers}


@dataclass(frozen=True)
class MeanCurve:
    """Mean over ``runs`` seeds and its interval, all float64 ``[evaluations]``; the interval is NaN for one seed."""

    steps: Floats
    train_s: Floats
    mean: Floats
    low: Floats
    high: Floats
    runs: int

    def x(self, axis: Axis) -> Floats:
        return self.steps if axis == "steps" else self.train_s


@dataclass(frozen=True)
class TaskCurves:
    """What there is to draw of one task, and between which anchors.

    ``agent``: whose curves they are where that is not the learning agent; there are no anchors then.
    """

    task: str
    frameworks: list[str]
    seeds: list[SeedCurve]
    uniform_legal: float | None
    best: float | None
    full_score_return: float | None
    agent: str | None = None

    @classmethod
    def of(cls, study: StudyRecord, task: str, summary: TaskSummary) -> TaskCurves:
        complete = {(t.framework, t.seed) for t in summary.trials if t.final_return is not None}
        return cls(
            task=task,
            frameworks=list(study.file.request.frameworks),
            seeds=[
                SeedCurve(trial.framework, trial.seed, (trial.framework, trial.seed) in complete, trial.curve)
                for trial in study.trials
                if trial.task == task and trial.curve is not None and not trial.curve.empty
            ],
            uniform_legal=summary.reference.uniform_legal,
            best=summary.reference.best,
            full_score_return=summary.reference.full_score_return,
        )

    @property
    def agents(self) -> list[str]:
        """Agents beside the learning one that have a choice, and so a curve of their own."""
        return list(dict.fromkeys(agent for curve in self.seeds for agent in agents_of(curve.table)))

    def of_agent(self, agent: str) -> TaskCurves:
        """The curves of one of ``agents``, of the trials that have it."""
        seeds = [replace(curve, agent=agent) for curve in self.seeds if agent in agents_of(curve.table)]
        return replace(self, seeds=seeds, agent=agent, uniform_legal=None, best=None, full_score_return=None)

    def of_framework(self, framework: str) -> list[SeedCurve]:
        return [curve for curve in self.seeds if curve.framework == framework]

    def mean(self, framework: str, policy: Policy) -> MeanCurve | None:
        """Over the framework's complete trials; None without any."""
        return mean_curve([curve for curve in self.of_framework(framework) if curve.complete], policy)

    def score(self, returns: Floats) -> Floats:
        """Normalised score; NaN where the task has no scale."""
        if self.full_score_return is None or self.uniform_legal is None:
            return np.full_like(returns, np.nan)
        return normalised_score(returns, self.uniform_legal, self.full_score_return)

    def value_range(self) -> tuple[float, float] | None:
        """What the return axis shows: every seed of both policies and the anchors, but not all of a wide interval."""
        values = [curve.returns(policy) for curve in self.seeds for policy in POLICIES]
        anchors = [value for value in (self.uniform_legal, self.best) if value is not None]
        finite = np.concatenate([*values, anchors]) if values else np.empty(0)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            return None
        low, high = float(finite.min()), float(finite.max())
        room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        return low - room, high + room


def mean_curve(curves: Sequence[SeedCurve], policy: Policy) -> MeanCurve | None:
    """Mean return at each evaluation, with Student's t interval over seeds at ``CONFIDENCE``, point by point.

    Frameworks end a rollout a few steps apart, so evaluations of two seeds need not stand at the same step: the mean
    stands at the mean step, and curves are linear between evaluations, as for the area under them. Against time, it
    stands at the mean time.
    """
    if not curves:
        return None
    lengths = {len(curve.table) for curve in curves}
    if len(lengths) == 1:
        steps = np.mean([curve.x("steps") for curve in curves], axis=0)
    else:
        steps = min(curves, key=lambda curve: len(curve.table)).x("steps")
    returns = np.array([np.interp(steps, curve.x("steps"), curve.returns(policy)) for curve in curves])
    train_s = np.array([np.interp(steps, curve.x("steps"), curve.x("train_s")) for curve in curves])
    mean = returns.mean(axis=0)
    half = np.full_like(mean, np.nan)
    if len(curves) > 1:
        error = returns.std(axis=0, ddof=1) / np.sqrt(len(curves))
        half = stats.t.ppf((1 + CONFIDENCE) / 2, len(curves) - 1) * error
    return MeanCurve(steps, train_s.mean(axis=0), mean, mean - half, mean + half, len(curves))
