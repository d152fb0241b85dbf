"""The statistics behind every verdict: pure functions on arrays, each with its source and its contract.

The unit is one training run; arrays hold one number per run, in normalised score unless said otherwise, with leading axes
for many simulated studies at once. ``tests/verdict`` holds size, power and coverage by simulation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from parity.results.summary import Verdict

Floats = NDArray[np.float64]

# TOST at 5 %: equivalence at level alpha is the (1 - 2 alpha) interval inside the margin.
ALPHA = 0.05
CONFIDENCE = 1 - 2 * ALPHA
# Of intervals beside the verdict: throughput, interquartile means.
WIDE_CONFIDENCE = 0.95
# One seed against uniform-legal play: many seeds are tested, and a false "learned" is worse than a missed one.
ALPHA_LEARNED = 0.01
# A run below this share of the way from uniform-legal play to the best has collapsed: it has not learned the task.
COLLAPSED_BELOW = 0.2


@contextmanager
def _quiet() -> Iterator[None]:
    """Runs that end on the same score (a solved task) make SciPy warn about precision; the limits are handled here."""
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
        warnings.filterwarnings("ignore", "One or more sample arguments is too small", RuntimeWarning)
        yield


def normalised_score(returns: ArrayLike, uniform_legal: float, best: float) -> Floats:
    """``(returns - uniform_legal) / (best - uniform_legal)``: 0 is uniform play over legal actions, 1 the best known.

    Both anchors are fixed by the task: min-max scaling over the compared runs would move the scale with the data.
    NaN where ``best`` is not above ``uniform_legal``.
    """
    returns = np.asarray(returns, np.float64)
    span = best - uniform_legal
    return (returns - uniform_legal) / span if span > 0 else np.full_like(returns, np.nan)


@dataclass(frozen=True)
class Difference:
    """Mean of ``port`` minus mean of ``reference``; every field has the shape of the data without its last axis.

    ``low`` and ``high`` bound the two-sided interval at ``confidence``; ``p_equivalence`` is TOST's p-value for the
    margin, ``p_worse`` that of the one-sided test against "not worse". NaN where an arm has fewer than two runs.
    """

    estimate: Floats
    low: Floats
    high: Floats
    confidence: float
    p_equivalence: Floats
    p_worse: Floats


class Estimate(NamedTuple):
    """A figure and its two-sided 95 % interval, whose bounds are NaN where there are too few runs for one."""

    estimate: float
    low: float
    high: float


def welch_difference(
    reference: ArrayLike, port: ArrayLike, margin: float, confidence: float = CONFIDENCE
) -> Difference:
    """Welch's t-interval of ``mean(port) - mean(reference)``, and two one-sided tests against ``margin``.

    Unequal variances are the rule between frameworks, and Student's t keeps its coverage on a handful of runs where
    percentile bootstraps do not. The interval inside ``±margin`` and ``p_equivalence < (1 - confidence) / 2`` say the
    same. If all runs of both arms are equal, the interval is a point: no variation was observed.

    Source: Welch 1947; Schuirmann 1987 (TOST); ``scipy.stats.ttest_ind(equal_var=False)``.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    with _quiet():
        both = stats.ttest_ind(b, a, equal_var=False, axis=-1)
        interval = both.confidence_interval(confidence)

        def p_below(shift: float, side: str) -> Floats:
            test: Any = stats.ttest_ind(b - shift, a, equal_var=False, axis=-1, alternative=side)
            return np.asarray(test.pvalue)

        above_lower, below_upper, worse = p_below(-margin, "greater"), p_below(margin, "less"), p_below(0.0, "less")
    return Difference(
        estimate=np.mean(b, axis=-1) - np.mean(a, axis=-1),
        low=np.asarray(interval.low),
        high=np.asarray(interval.high),
        confidence=confidence,
        p_equivalence=np.maximum(above_lower, below_upper),
        # No variation and no difference: 0/0 for SciPy, no evidence for us.
        p_worse=np.where(np.isnan(worse) & (interval.low == 0) & (interval.high == 0), 1.0, worse),
    )


def interval_verdicts(low: ArrayLike, high: ArrayLike, margin: float) -> NDArray[np.str_]:
    """The four-way verdict of intervals of port minus reference, elementwise.

    EQUIVALENT: the interval lies inside ``±margin``. WORSE: it lies below 0, and is not equivalent. BETTER: above 0,
    and not equivalent. INCONCLUSIVE: anything else, and where the interval is NaN.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    conditions = [(low > -margin) & (high < margin), high < 0, low > 0]
    return np.select(conditions, [Verdict.EQUIVALENT, Verdict.WORSE, Verdict.BETTER], Verdict.INCONCLUSIVE)


def interval_verdict(low: float, high: float, margin: float) -> Verdict:
    """``interval_verdicts`` of one interval."""
    return Verdict(str(interval_verdicts(low, high, margin)))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values of families ``[..., family]``, in the order given; NaNs stay NaN and are no part of theirs.

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection in the family at alpha,
    whatever the dependence. Source: Holm 1979.
    """
    p = np.asarray(p_values, np.float64)
    # NaN sorts last, so the family of a row is its first places.
    order = np.argsort(p, axis=-1)
    members = np.count_nonzero(~np.isnan(p), axis=-1, keepdims=True)
    left = np.maximum(members - np.arange(p.shape[-1]), 0)
    steps = np.take_along_axis(p, order, axis=-1) * left
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0), axis=-1)
    return adjusted


def not_worse(low: ArrayLike, margin: float) -> NDArray[np.bool_]:
    """Non-inferiority, elementwise: the interval's lower end is above ``-margin``. False where it is NaN.

    By the lower end of the 90 % interval it is a one-sided test at 5 %: a port that is worse by the margin passes in at
    most 5 %. Source: ICH E9, section 3.3.2.
    """
    return np.asarray(low, np.float64) > -margin


def p_above_uniform_legal(
    episode_returns: ArrayLike, uniform_legal: float, uniform_legal_returns: ArrayLike | None = None
) -> float:
    """One-sided p-value that a run's final evaluation is above uniform play over legal actions.

    Compares mean episode returns: Welch's test where the returns of uniform-legal episodes were stored, so that their
    own uncertainty counts; else Student's one-sample test against ``uniform_legal``, taken as exact. If all returns are
    equal the answer is 0 or 1. NaN where there are fewer than two episodes.

    Source: ``scipy.stats.ttest_ind(equal_var=False)``, ``scipy.stats.ttest_1samp``.
    """
    returns = np.asarray(episode_returns, np.float64)
    baseline = np.asarray([] if uniform_legal_returns is None else uniform_legal_returns, np.float64)
    if returns.size < 2:
        return math.nan
    with _quiet():
        if baseline.size >= 2:
            reference = float(baseline.mean())
            p = float(stats.ttest_ind(returns, baseline, equal_var=False, alternative="greater").pvalue)
        else:
            reference = uniform_legal
            p = float(stats.ttest_1samp(returns, uniform_legal, alternative="greater").pvalue)
    if math.isnan(p) and np.isfinite(returns).all():
        return 0.0 if returns.mean() > reference else 1.0
    return p


def p_above_start(final_returns: ArrayLike, first_returns: ArrayLike) -> float:
    """One-sided p-value that a run's final evaluation is above its own first one, before any training.

    Both evaluations play the same environment seeds, so the test is paired. If all pairs differ by the same amount the
    answer is 0 or 1. NaN where there are fewer than two pairs.

    Source: ``scipy.stats.ttest_rel``.
    """
    final, first = np.asarray(final_returns, np.float64), np.asarray(first_returns, np.float64)
    if final.shape != first.shape or final.size < 2:
        return math.nan
    with _quiet():
        p = float(stats.ttest_rel(final, first, alternative="greater").pvalue)
    if math.isnan(p) and np.isfinite(final - first).all():
        return 0.0 if final.mean() > first.mean() else 1.0
    return p


def collapsed(scores: ArrayLike) -> NDArray[np.bool_]:
    """Which runs have collapsed: a final score below ``COLLAPSED_BELOW``. NaN counts as collapsed, never as fine."""
    return ~(np.asarray(scores, np.float64) >= COLLAPSED_BELOW)


def more_collapses(reference: ArrayLike, port: ArrayLike) -> int:
    """Collapsed runs of the port beyond those of the reference; more than one is WORSE whatever the means say.

    The rule is for references that do not collapse. Where every run of either framework collapses with chance q, it
    accuses an equal port, per task, in 0.4 % (q = 0.02), 1.8 % (0.05) and 5.1 % (0.1) of studies at 5 seeds, in 5.5 %
    (0.05) and 12 % (0.1) at 10 seeds: exact, from two binomials.
    """
    return int(collapsed(port).sum()) - int(collapsed(reference).sum())


def kaplan_meier_median(steps: ArrayLike, censored: ArrayLike) -> float:
    """Median time to an event of right-censored runs; infinite where fewer than half are known to have had it.

    ``steps`` is the time of the event, or where ``censored`` the last time at which it had not happened.
    NaN without runs. Source: Kaplan and Meier 1958; ``scipy.stats.ecdf``.
    """
    steps, censored = np.asarray(steps, np.float64), np.asarray(censored, bool)
    if steps.size == 0:
        return math.nan
    if censored.all():
        return math.inf
    survival = stats.ecdf(stats.CensoredData.right_censored(steps, censored)).sf
    reached = survival.quantiles[survival.probabilities <= 0.5]
    return float(reached[0]) if reached.size else math.inf


def logrank_p(
    reference_steps: ArrayLike, reference_censored: ArrayLike, port_steps: ArrayLike, port_censored: ArrayLike
) -> float:
    """Two-sided p-value of the logrank test between two arms of right-censored times: a difference to look at.

    It tests for a difference and never shows equivalence, and with three runs an arm it cannot get far below 0.05.
    1 where no arm had an event, NaN where an arm is empty. Source: Mantel 1966; ``scipy.stats.logrank``.
    """
    arms = [
        (np.asarray(steps, np.float64), np.asarray(censored, bool))
        for steps, censored in ((reference_steps, reference_censored), (port_steps, port_censored))
    ]
    if any(steps.size == 0 for steps, _ in arms):
        return math.nan
    with _quiet():
        p = float(stats.logrank(*(stats.CensoredData.right_censored(s, c) for s, c in arms)).pvalue)
    # All events at one time in both arms, or none at all: the arms do not differ.
    return 1.0 if math.isnan(p) else p
