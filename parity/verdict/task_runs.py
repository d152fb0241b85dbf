"""The runs of one task, as the judge sees them: what can be judged, its scores, and whether each seed learned."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.results.summary import SB3, ReferenceSummary, TrialSummary
from parity.results.watch import first_cause
from parity.verdict import metrics
from parity.verdict.learning import seed_learned
from parity.verdict.statistics import collapsed, normalised_score, p_above_start, p_above_uniform_legal
from parity.verdict.validity import curve_problem, mask_problem, status_problem

if TYPE_CHECKING:
    import pandas as pd

    from parity.results.study import StudyRecord, TrialRecord


@dataclass(frozen=True)
class Scale:
    """The normalised score: 0 at ``zero``, 1 at ``one``, both in returns; NaN where ``one`` is not above ``zero``."""

    zero: float
    one: float

    def score(self, value: float) -> float:
        return float(normalised_score(value, self.zero, self.one))

    def value(self, score: float) -> float:
        return self.zero + score * (self.one - self.zero)


@dataclass(frozen=True)
class Run:
    """One trial that was asked for, there or not.

    ``problem`` says why it cannot be judged, as the end of a sentence about it. ``curve`` is kept where it is complete
    and finite, whatever else is wrong, so that a report can show what a broken port learned; ``final`` and ``auc`` are
    then its metrics in returns, else NaN.
    """

    framework: str
    seed: int
    trial: TrialRecord | None
    problem: str | None
    curve: pd.DataFrame | None
    final: float
    auc: float

    @classmethod
    def of(
        cls, framework: str, seed: int, trial: TrialRecord | None, horizon: int, declared: Collection[str] = ()
    ) -> Run:
        unfinished = status_problem(trial)
        broken = None if trial is None else curve_problem(trial.curve, horizon)
        masks = None if trial is None else mask_problem(trial.masks, declared)
        curve = None if trial is None or unfinished or broken else trial.curve
        return cls(
            framework=framework,
            seed=seed,
            trial=trial,
            problem=unfinished or broken or masks,
            curve=curve,
            final=math.nan if curve is None else metrics.final(curve, horizon),
            auc=math.nan if curve is None else metrics.auc(curve, horizon),
        )


@dataclass(frozen=True)
class TaskRuns:
    """All runs that a study asked of one task, in the order of frameworks and seeds, and the scale of their scores."""

    task: str
    frameworks: list[str]
    runs: list[Run]
    scale: Scale
    reference: ReferenceSummary
    uniform_legal_returns: list[float]
    margin: float
    steps: int

    @classmethod
    def of(cls, study: StudyRecord, task: str) -> TaskRuns:
        request, asked = study.file.request, study.file.tasks[task]
        horizon = request.steps or asked.steps
        trials = {(t.framework, t.seed): t for t in study.trials if t.task == task}
        runs = [
            Run.of(framework, seed, trials.get((framework, seed)), horizon, asked.declared)
            for framework in request.frameworks
            for seed in request.seeds
        ]
        best = asked.reference.best
        sb3_finals = [run.final for run in runs if run.framework == SB3 and not math.isnan(run.final)]
        one = best if best is not None else (float(np.mean(sb3_finals)) if sb3_finals else math.nan)
        return cls(
            task=task,
            frameworks=list(request.frameworks),
            runs=runs,
            scale=Scale(asked.reference.uniform_legal, one),
            reference=ReferenceSummary(
                uniform_legal=asked.reference.uniform_legal,
                best=best,
                source=asked.reference.source,
                relative=best is None,
                full_score_return=None if math.isnan(one) else one,
            ),
            uniform_legal_returns=list(asked.reference.uniform_legal_returns or []),
            margin=asked.margin,
            steps=horizon,
        )

    def of_framework(self, framework: str) -> list[Run]:
        return [run for run in self.runs if run.framework == framework]

    def scores(self, framework: str, metric: str) -> list[float]:
        """Scores of ``"final"`` or ``"auc"`` of the runs that have them."""
        values = (getattr(run, metric) for run in self.of_framework(framework))
        return [self.scale.score(value) for value in values if not math.isnan(value)]

    def mean_score(self, framework: str, metric: str = "final") -> float:
        """NaN where no run has the metric."""
        scores = self.scores(framework, metric)
        return float(np.mean(scores)) if scores else math.nan

    def problems(self, frameworks: Sequence[str]) -> list[str]:
        """One sentence for each run of ``frameworks`` that cannot be judged, naming it."""
        return [
            f"{run.framework} seed {run.seed} {run.problem}"
            for run in self.runs
            if run.problem is not None and run.framework in frameworks
        ]

    def trial_summary(self, run: Run) -> TrialSummary:
        meta = run.trial.meta if run.trial is not None else None
        summary = TrialSummary(
            framework=run.framework,
            seed=run.seed,
            status=meta.status if meta else "missing",
            reason=run.problem,
            watched=first_cause(run.trial.watched) if run.trial is not None else None,
        )
        if run.curve is None:
            return summary
        score = self.scale.score(run.final)
        p = p_above_uniform_legal(run.curve["returns"].iloc[-1], self.scale.zero, self.uniform_legal_returns)
        start = run.curve.iloc[0]
        p_start = p_above_start(run.curve["returns"].iloc[-1], start["returns"])
        return summary.model_copy(
            update={
                "final": score,
                "auc": self.scale.score(run.auc),
                "final_return": run.final,
                "p_above_uniform_legal": p,
                "p_above_start": p_start,
                "learned": seed_learned(score, p, p_start, self.scale.score(float(start["return_mean"]))),
                "collapsed": None if math.isnan(score) else bool(collapsed(score)),
            }
        )
