"""A port against SB3 on one task: the primary metrics with their verdicts, and steps to threshold beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from parity.results.summary import PRIMARY, SB3, MetricComparison, Metrics, PrimaryMetrics, StepsToThreshold, Verdict
from parity.verdict import metrics
from parity.verdict.plan import seeds_needed
from parity.verdict.runs import TaskRuns
from parity.verdict.statistics import (
    ALPHA,
    holm,
    interval_verdict,
    kaplan_meier_median,
    logrank_p,
    welch_difference,
)

AnyMetrics = TypeVar("AnyMetrics", bound=PrimaryMetrics)

NOTHING_TO_COMPARE = "nothing to compare with"

# From the worst down: the verdict of several ports or tasks is the first of these that one of them has.
GRAVITY = (Verdict.INVALID, Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.BETTER, Verdict.EQUIVALENT)


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of parts taken together: one EQUIVALENT part does not outweigh what another leaves open."""
    return min(verdicts, key=GRAVITY.index)


def compare(runs: TaskRuns, frameworks: Sequence[str], alpha: float = ALPHA) -> Metrics:
    """Metrics of ``frameworks``: ``[sb3, port]``, or a single one, which gives means and nothing to compare with.

    ``alpha`` is one-sided: equivalence is tested at it, and intervals have the confidence ``1 - 2 * alpha``. WORSE is not
    yet corrected for the number of metrics and tasks: see ``correct_worse``.
    """
    return Metrics(
        final=_compare_metric(runs, frameworks, "final", alpha),
        auc=_compare_metric(runs, frameworks, "auc", alpha),
        steps_to_threshold=_steps_to_threshold(runs, frameworks),
    )


def _compare_metric(runs: TaskRuns, frameworks: Sequence[str], metric: str, alpha: float) -> MetricComparison:
    scores = {framework: runs.scores(framework, metric) for framework in frameworks}
    common = MetricComparison.model_validate(
        {
            "margin": runs.margin,
            "verdict": Verdict.INCONCLUSIVE,
            "runs": {framework: len(values) for framework, values in scores.items()},
            **{framework: runs.mean_score(framework, metric) for framework in frameworks},
        }
    )
    if len(frameworks) < 2:
        return common.model_copy(update={"reason": NOTHING_TO_COMPARE})
    a, b = (scores[framework] for framework in frameworks)
    if min(len(a), len(b)) < 2:
        difference = float(np.mean(b) - np.mean(a)) if a and b else None
        reason = "an interval needs two runs of each framework"
        return common.model_copy(update={"difference": difference, "reason": reason})
    test = welch_difference(a, b, runs.margin, 1 - 2 * alpha)
    verdict = interval_verdict(float(test.low), float(test.high), runs.margin)
    return common.model_copy(
        update={
            "difference": float(test.estimate),
            "interval": (float(test.low), float(test.high)),
            "confidence": test.confidence,
            "verdict": verdict,
            "seeds_needed": seeds_to_decide(a, b, runs.margin, alpha) if verdict is Verdict.INCONCLUSIVE else None,
            "p_equivalence": float(test.p_equivalence),
            "p_worse": float(test.p_worse),
        }
    )


def seeds_to_decide(reference: ArrayLike, port: ArrayLike, margin: float, alpha: float = ALPHA) -> int | None:
    """Seeds per framework for an INCONCLUSIVE metric, from runs ``[n]`` or ``[tasks, n]``: more than there are, or None.

    Planned for frameworks that do not differ; where the seeds at hand should have shown that and did not, for the
    difference that was observed.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    at_hand = min(a.shape[-1], b.shape[-1])
    needed = seeds_needed(a, b, margin, alpha=alpha)
    if needed is not None and needed <= at_hand:
        observed = float((b.mean(axis=-1) - a.mean(axis=-1)).mean())
        needed = seeds_needed(a, b, margin, difference=observed, alpha=alpha)
        return None if needed is None else max(needed, at_hand + 1)
    return needed


def correct_worse(comparisons: Sequence[AnyMetrics], alpha: float = ALPHA) -> list[AnyMetrics]:
    """Holm's correction over one port's primary metrics on all tasks: WORSE stays where its adjusted p is at most ``alpha``.

    Without it, a port as good as SB3 on four tasks would be called WORSE somewhere in up to a third of all studies. The
    pooled metrics of such a study are a family of their own: either family errs in at most 5 %, one of the two in 5 to
    7 % (simulated: two to four tasks, five seeds).
    """
    family = [(index, metric) for index in range(len(comparisons)) for metric in PRIMARY]
    p_values = [comparisons[index].primary[metric].p_worse for index, metric in family]
    adjusted = holm([math.nan if p is None else p for p in p_values])
    corrected = list(comparisons)
    for (index, metric), p in zip(family, adjusted, strict=True):
        if math.isnan(p):
            continue
        comparison = corrected[index].primary[metric]
        update: dict[str, object] = {"p_worse_holm": float(p)}
        if comparison.verdict is Verdict.WORSE and p > alpha:
            update |= {
                "verdict": Verdict.INCONCLUSIVE,
                "reason": "below SB3 by itself, but not after correction for the number of comparisons",
            }
        corrected[index] = corrected[index].model_copy(update={metric: comparison.model_copy(update=update)})
    return corrected


def invalidate(comparison: AnyMetrics, reason: str) -> AnyMetrics:
    """The same figures, to be looked at, with every primary verdict INVALID."""
    update = {"verdict": Verdict.INVALID, "reason": reason, "seeds_needed": None}
    return comparison.model_copy(
        update={metric: value.model_copy(update=update) for metric, value in comparison.primary.items()}
    )


def primary_verdict(comparison: PrimaryMetrics) -> Verdict:
    """EQUIVALENT needs every primary metric (an intersection-union test); one WORSE is enough for WORSE.

    BETTER beside an INCONCLUSIVE metric stays INCONCLUSIVE: the other may still be worse.
    """
    return gravest([metric.verdict or Verdict.INCONCLUSIVE for metric in comparison.primary.values()])


def _steps_to_threshold(runs: TaskRuns, frameworks: Sequence[str]) -> StepsToThreshold:
    """Empty where SB3, whose final score sets the threshold, is not among the frameworks or is no better than 0."""
    sb3_score = runs.mean_score(SB3) if SB3 in frameworks else math.nan
    if not sb3_score > 0:
        return StepsToThreshold()
    threshold = metrics.THRESHOLD_OF_SB3 * sb3_score
    rows: dict[str, list[StepsToThreshold.Run]] = {}
    for framework in frameworks:
        rows[framework] = []
        for run in runs.of_framework(framework):
            if run.curve is not None:
                reached = metrics.steps_to_threshold(run.curve, runs.scale.value(threshold))
                row = StepsToThreshold.Run(seed=run.seed, steps=reached.steps, censored=reached.censored)
                rows[framework].append(row)
    arms = {name: ([row.steps for row in arm], [row.censored for row in arm]) for name, arm in rows.items()}
    medians: dict[str, float | None] = {name: kaplan_meier_median(*arm) for name, arm in arms.items()}
    return StepsToThreshold(
        threshold=threshold,
        reached={name: sum(not row.censored for row in arm) for name, arm in rows.items()},
        p_logrank=logrank_p(*arms[frameworks[0]], *arms[frameworks[1]]) if len(frameworks) == 2 else None,
        runs=rows,
        **medians,
    )
