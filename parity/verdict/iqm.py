"""The interquartile mean of runs, and the difference of two with a bootstrap interval. Shown beside the mean; gates nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from parity.verdict.statistics import Floats

IQM_CONFIDENCE = 0.95
RESAMPLES = 2_000


def iqm(scores: ArrayLike, axis: int = -1) -> Floats:
    """Mean of the middle half of the runs. Of three it is their mean: ``int(0.25 * 3)`` leaves none out.

    Source: ``scipy.stats.trim_mean(scores, 0.25)``; Agarwal and others 2021 for its use on runs.
    """
    return np.asarray(stats.trim_mean(np.asarray(scores, np.float64), 0.25, axis=axis))


@dataclass(frozen=True)
class IqmDifference:
    """IQM of the port's runs minus that of the reference's, over all tasks; ``low`` and ``high`` at ``confidence``."""

    estimate: float
    low: float
    high: float
    confidence: float


def iqm_difference(
    reference: Sequence[ArrayLike],
    port: Sequence[ArrayLike],
    confidence: float = IQM_CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> IqmDifference:
    """BCa bootstrap interval of the difference of interquartile means; one ``[n]`` of scores per task and arm.

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

    estimate = float(difference(*samples)) if samples and all(arm.size for arm in samples) else float("nan")
    if np.isnan(estimate) or min(arm.size for arm in samples) < 2:
        return IqmDifference(estimate, float("nan"), float("nan"), confidence)
    if all(np.ptp(arm) == 0 for arm in samples):
        return IqmDifference(estimate, estimate, estimate, confidence)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            samples,
            difference,
            n_resamples=resamples,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return IqmDifference(estimate, float(found.low), float(found.high), confidence)
