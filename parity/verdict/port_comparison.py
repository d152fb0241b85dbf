"""A port against SB3, on one task or over all tasks of a study: the primary metrics with their verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from parity.results.summary import (
    PRIMARY,
    SB3,
    MetricComparison,
    Metrics,
    PooledSummary,
    PrimaryMetrics,
    StepsToThreshold,
    TaskSummary,
    Verdict,
)
from parity.verdict import metrics
from parity.verdict.pooled_statistics import pooled_difference
from parity.verdict.power import seeds_needed
from parity.verdict.robustness import robustness
from parity.verdict.statistics import (
    ALPHA,
    Difference,
    holm,
    interval_verdict,
    kaplan_meier_median,
    logrank_p,
    welch_difference,
)
from parity.verdict.task_runs import TaskRuns

AnyMetrics = TypeVar("AnyMetrics", bound=PrimaryMetrics)

NOTHING_TO_COMPARE = "nothing to compare with"
TOO_FEW_RUNS = "an interval needs two runs of each framework"
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
        **{metric: _compare_metric(runs, frameworks, metric, alpha) for metric in PRIMARY},
        steps_to_threshold=_steps_to_threshold(runs, frameworks),
    )


def pool(
    tasks: Mapping[str, TaskRuns], judged: Mapping[str, TaskSummary], alpha: float = ALPHA
) -> PooledSummary | None:
    """Compares every port with SB3 over all tasks together; ``alpha`` as in ``compare``.

    None where there is one task, or no port beside SB3. INVALID where the port is INVALID on any of the tasks.
    """
    all_runs = list(tasks.values())
    ports = [framework for framework in all_runs[0].frameworks if framework != SB3]
    if len(all_runs) < 2 or not ports or SB3 not in all_runs[0].frameworks:
        return None
    comparisons, verdicts, reasons = {}, {}, []
    for port in ports:
        compared = PrimaryMetrics(**{metric: _pool_metric(all_runs, port, metric, alpha) for metric in PRIMARY})
        (corrected,) = correct_worse([compared], alpha)
        invalid = [name for name, task in judged.items() if task.verdicts[port] is Verdict.INVALID]
        if invalid:
            reasons.append(f"{port} cannot be judged on {', '.join(invalid)}")
            corrected = invalidate(corrected, reasons[-1])
        comparisons[port], verdicts[port] = corrected, primary_verdict(corrected)
    return PooledSummary(
        verdict=gravest(list(verdicts.values())),
        tasks=list(tasks),
        metrics=comparisons[ports[0]],
        comparisons=comparisons,
        verdicts=verdicts,
        reasons=reasons,
        robustness={port: robustness(all_runs, port, alpha) for port in ports},
    )


def _compare_metric(runs: TaskRuns, frameworks: Sequence[str], metric: str, alpha: float) -> MetricComparison:
    scores = {framework: runs.scores(framework, metric) for framework in frameworks}
    means = {framework: runs.mean_score(framework, metric) for framework in frameworks}
    counts = {framework: len(values) for framework, values in scores.items()}
    if len(frameworks) < 2:
        return _undecided(runs.margin, counts, means, NOTHING_TO_COMPARE)
    a, b = (scores[framework] for framework in frameworks)
    if min(len(a), len(b)) < 2:
        undecided = _undecided(runs.margin, counts, means, TOO_FEW_RUNS)
        return undecided.model_copy(update={"difference": float(np.mean(b) - np.mean(a)) if a and b else None})
    test = welch_difference(a, b, runs.margin, 1 - 2 * alpha)
    return _decide(_undecided(runs.margin, counts, means), test, a, b, alpha)


def _pool_metric(tasks: Sequence[TaskRuns], port: str, metric: str, alpha: float) -> MetricComparison:
    scores = {framework: [runs.scores(framework, metric) for runs in tasks] for framework in (SB3, port)}
    # The strictest: whoever keeps within it keeps within every task's own.
    margin = min(runs.margin for runs in tasks)
    counts = {framework: sum(map(len, arms)) for framework, arms in scores.items()}
    means = {
        framework: float(np.mean([np.mean(arm) for arm in arms])) if all(arms) else None
        for framework, arms in scores.items()
    }
    lengths = {len(arm) for arms in scores.values() for arm in arms}
    if len(lengths) > 1:
        reason = "pooling needs equally many runs of every framework on every task"
        return _undecided(margin, counts, means, reason)
    if min(lengths) < 2:
        return _undecided(margin, counts, means, TOO_FEW_RUNS)
    test = pooled_difference(scores[SB3], scores[port], margin, 1 - 2 * alpha)
    return _decide(_undecided(margin, counts, means), test, scores[SB3], scores[port], alpha)


def _undecided(
    margin: float, runs: Mapping[str, int], means: Mapping[str, float | None], reason: str | None = None
) -> MetricComparison:
    return MetricComparison.model_validate(
        {"margin": margin, "verdict": Verdict.INCONCLUSIVE, "runs": runs, "reason": reason, **means}
    )


def _decide(
    undecided: MetricComparison, test: Difference, reference: ArrayLike, port: ArrayLike, alpha: float
) -> MetricComparison:
    assert undecided.margin is not None
    interval = float(test.low), float(test.high)
    verdict = interval_verdict(*interval, undecided.margin)
    seeds = seeds_to_decide(reference, port, undecided.margin, alpha) if verdict is Verdict.INCONCLUSIVE else None
    return undecided.model_copy(
        update={
            "difference": float(test.estimate),
            "interval": interval,
            "confidence": test.confidence,
            "verdict": verdict,
            "seeds_needed": seeds,
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
    family = [metric for comparison in comparisons for metric in comparison.primary.values()]
    reason = "below SB3 by itself, but not after correction for the number of comparisons"
    metrics = iter(correct_family(family, reason, alpha))
    return [each.model_copy(update={metric: next(metrics) for metric in PRIMARY}) for each in comparisons]


def correct_family(family: Sequence[MetricComparison], reason: str, alpha: float = ALPHA) -> list[MetricComparison]:
    """Holm's adjusted p-values filled in; what is WORSE by itself alone is INCONCLUSIVE, for this ``reason``."""
    corrected = []
    for metric, p in zip(family, holm([math.nan if m.p_worse is None else m.p_worse for m in family]), strict=True):
        update: dict[str, object] = {} if math.isnan(p) else {"p_worse_holm": float(p)}
        if metric.verdict is Verdict.WORSE and p > alpha:
            update |= {"verdict": Verdict.INCONCLUSIVE, "reason": reason}
        corrected.append(metric.model_copy(update=update))
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
                steps, censored = metrics.steps_to_threshold(run.curve, runs.scale.value(threshold))
                rows[framework].append(StepsToThreshold.Run(seed=run.seed, steps=steps, censored=censored))
    arms = {name: ([row.steps for row in arm], [row.censored for row in arm]) for name, arm in rows.items()}
    medians: dict[str, float | None] = {name: kaplan_meier_median(*arm) for name, arm in arms.items()}
    return StepsToThreshold(
        threshold=threshold,
        reached={name: sum(not row.censored for row in arm) for name, arm in rows.items()},
        p_logrank=logrank_p(*arms[frameworks[0]], *arms[frameworks[1]]) if len(frameworks) == 2 else None,
        runs=rows,
        **medians,
    )
