"""How many seeds does a decision take? Power of the equivalence test, by formula.

The formula is for one metric, and for normal runs of one standard deviation. ``parity.verdict.simulation`` simulates what
a study will really be asked: both primary metrics, WORSE after Holm's correction.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from parity.verdict.statistics import ALPHA, Floats

POWER = 0.8
# Nobody trains more; a figure above it says that this route is closed.
MOST_SEEDS = 1000


def tost_power(
    n: ArrayLike, margin: float, sd: float, difference: float = 0.0, tasks: ArrayLike = 1, alpha: float = ALPHA
) -> Floats:
    """Probability that ``n`` runs per arm and task show equivalence within ``margin`` in one metric.

    Assumes normal runs with the same standard deviation ``sd`` in both arms, a true ``difference``, and where there are
    several ``tasks`` their variance pooled and their differences averaged: ``df = tasks * (2n - 2)``. ``n`` and
    ``tasks`` broadcast. One task is tested by Welch, whose power at three to five runs is up to 0.03 lower.

    Source: Phillips 1990, the integral over the distribution of the observed variance, here by 1000 of its quantiles.
    """
    n, tasks = np.asarray(n, np.float64)[..., None], np.asarray(tasks, np.float64)[..., None]
    df = tasks * (2 * n - 2)
    quantiles = (np.arange(1000) + 0.5) / 1000
    observed_sd = sd * np.sqrt(stats.chi2.ppf(quantiles, df) / df)
    root = np.sqrt(2 / (n * tasks))
    slack = margin - stats.t.ppf(1 - alpha, df) * observed_sd * root
    inside = stats.norm.cdf(slack, difference, sd * root) - stats.norm.cdf(-slack, difference, sd * root)
    return np.where(slack > 0, inside, 0.0).mean(axis=-1)


def seeds_for(
    margin: float, sd: float, difference: float = 0.0, power: float = POWER, tasks: int = 1, alpha: float = ALPHA
) -> int | None:
    """The fewest seeds per framework and task with which ``tost_power`` reaches ``power``; at least 2.

    None where ``sd`` is no finite number, where ``|difference| >= margin`` (no number of seeds would do) and where it
    would take more than ``MOST_SEEDS``.
    """
    if not math.isfinite(sd) or not abs(difference) < margin:
        return None
    if sd <= 1e-9 * margin:
        return 2
    # More seeds never have less power.
    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, power, key=lambda n: float(tost_power(n, margin, sd, difference, tasks, alpha)))
    return numbers[place] if place < len(numbers) else None


def seeds_needed(
    reference: ArrayLike,
    port: ArrayLike,
    margin: float,
    difference: float = 0.0,
    power: float = POWER,
    alpha: float = ALPHA,
) -> int | None:
    """Seeds per framework with which TOST would show equivalence with probability ``power``, from the runs at hand.

    Runs are ``[n]`` each, or ``[tasks, n]`` for seeds per task of a pooled test. Takes their pooled standard deviation
    for the true one, and assumes that the frameworks truly differ by ``difference`` (by default not at all), that runs
    are normal and that both arms are equally long. On three to five runs the standard deviation is itself uncertain by
    about a third, so this is a plan, not a promise.

    None where an arm has fewer than two runs, and where ``seeds_for`` is None.
    """
    a, b = np.atleast_2d(np.asarray(reference, np.float64)), np.atleast_2d(np.asarray(port, np.float64))
    if min(a.shape[1], b.shape[1]) < 2:
        return None
    weights = [a.shape[1] - 1, b.shape[1] - 1]
    variance = np.average([np.var(a, axis=1, ddof=1).mean(), np.var(b, axis=1, ddof=1).mean()], weights=weights)
    return seeds_for(margin, math.sqrt(variance), difference, power, tasks=a.shape[0], alpha=alpha)
