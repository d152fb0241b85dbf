"""Figures beside the verdict that gate nothing: do other ways of looking at the same scores point the same way?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from parity.results.summary import PRIMARY, SB3, Robustness
from parity.verdict.metrics import THRESHOLD_OF_SB3
from parity.verdict.permutation import permutation_test
from parity.verdict.pooled_statistics import p_tasks_differ, satterthwaite_difference
from parity.verdict.statistics import ALPHA, WIDE_CONFIDENCE, Estimate, Floats
from parity.verdict.task_runs import TaskRuns

RESAMPLES = 2_000


def robustness(tasks: Sequence[TaskRuns], port: str, alpha: float = ALPHA) -> dict[str, Robustness]:
    """By primary metric, over the runs of SB3 and ``port`` that have scores; of one task or of several together.

    ``alpha`` is that of the verdict, for the interval with own variances that stands beside the pooled one.
    """
    return {metric: _of_metric(tasks, port, metric, alpha) for metric in PRIMARY}


def _of_metric(tasks: Sequence[TaskRuns], port: str, metric: str, alpha: float) -> Robustness:
    reference, arm = ([runs.scores(framework, metric) for runs in tasks] for framework in (SB3, port))
    thresholds = [THRESHOLD_OF_SB3 * runs.mean_score(SB3, metric) for runs in tasks]
    totals = {}
    for framework, scores_by_task in ((SB3, reference), (port, arm)):
        reached = [successes(scores, at)[0] for scores, at in zip(scores_by_task, thresholds, strict=True)]
        totals[framework] = (sum(reached), sum(map(len, scores_by_task)))
    update: dict[str, object] = {}
    if all(reference) and all(arm):
        permutation, middle = permutation_test(reference, arm), iqm_difference(reference, arm)
        update = {
            "p_permutation": permutation.p,
            "permutation_exact": permutation.exact,
            "iqm_difference": middle.estimate,
            "iqm_interval": None if math.isnan(middle.low + middle.high) else (middle.low, middle.high),
            "iqm_confidence": WIDE_CONFIDENCE,
            "probability_of_improvement": probability_of_improvement(reference, arm),
        }
        sizes = [{len(scores) for scores in scores_by_task} for scores_by_task in (reference, arm)]
        if len(tasks) > 1 and all(len(of) == 1 and min(of) > 1 for of in sizes):
            own = satterthwaite_difference(reference, arm, margin=math.inf, confidence=1 - 2 * alpha)
            differ = float(p_tasks_differ(reference, arm))
            update["interval_own_variances"] = (float(own.low), float(own.high))
            update["p_tasks_differ"] = None if math.isnan(differ) else differ
    return Robustness(successes=totals).model_copy(update=update)


def probability_of_improvement(reference: Sequence[ArrayLike], port: Sequence[ArrayLike]) -> float:
    """Probability that a random run of the port scores above a random run of the reference, averaged over tasks.

    One ``[n]`` of scores per task and arm; a tie counts half, so that 0.5 is no difference. It says how often, not by how
    much. NaN without tasks, for an arm without runs, and where a run is NaN.

    Source: ``scipy.stats.mannwhitneyu``, its U over ``n_a * n_b``; Agarwal and others 2021 for the mean over tasks.
    """
    cells = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(reference, port, strict=True)]
    if not cells or any(arm.size == 0 or np.isnan(arm).any() for cell in cells for arm in cell):
        return math.nan
    shares = [stats.mannwhitneyu(b, a, method="asymptotic").statistic / (a.size * b.size) for a, b in cells]
    return float(np.mean(shares))


def successes(scores: ArrayLike, threshold: float) -> tuple[int, int]:
    """``(runs that reach the threshold, runs)``; a run without a score (NaN) does not reach it."""
    scores = np.asarray(scores, np.float64)
    return int(np.count_nonzero(scores >= threshold)), scores.size


def iqm(scores: ArrayLike, axis: int = -1) -> Floats:
    """Interquartile mean, that of the middle half of the runs. Of three runs it is their mean: none is left out.

    Source: ``scipy.stats.trim_mean(scores, 0.25)``; Agarwal and others 2021 for its use on runs.
    """
    return np.asarray(stats.trim_mean(np.asarray(scores, np.float64), 0.25, axis=axis))


def iqm_difference(
    reference: Sequence[ArrayLike],
    port: Sequence[ArrayLike],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """IQM of the port's runs minus that of the reference's, with a BCa interval; one ``[n]`` of scores per task and arm.

    Runs are resampled within their task and framework, so every resample is a study of the same design; ``seed`` makes
    the interval repeatable. A bootstrap of few runs is too narrow: on normal runs the 95 % interval covers 80 % with 3
    seeds of one task, 92 % with 5 seeds of one task or of four, and 95 % with 10 (simulated), which is one reason why it
    gates nothing. Without variation the interval is a point; NaN bounds where an arm has fewer than two runs, and where
    BCa is undefined.

    Source: Efron 1987; ``scipy.stats.bootstrap(method="BCa")`` on ``2 * tasks`` independent samples.
    """
    samples = [np.asarray(arm, np.float64) for arm in (*reference, *port)]
    tasks = len(reference)

    def difference(*arms: NDArray[np.float64], axis: int = -1) -> Floats:
        return iqm(np.concatenate(arms[tasks:], axis=axis), axis) - iqm(np.concatenate(arms[:tasks], axis=axis), axis)

    estimate = float(difference(*samples)) if samples and all(arm.size for arm in samples) else math.nan
    if math.isnan(estimate) or min(arm.size for arm in samples) < 2:
        return Estimate(estimate, math.nan, math.nan)
    if all(np.ptp(arm) == 0 for arm in samples):
        return Estimate(estimate, estimate, estimate)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        interval = stats.bootstrap(
            samples,
            difference,
            n_resamples=resamples,
            confidence_level=WIDE_CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return Estimate(estimate, float(interval.low), float(interval.high))
