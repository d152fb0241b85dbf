"""How many seeds and tasks does a decision take? Power of the equivalence test, by formula and by simulation.

The formula is for one metric, and for normal runs of one standard deviation. ``verdict_rates`` simulates what a study
will really be asked: both primary metrics, WORSE after Holm's correction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from parity.results.summary import Verdict
from parity.verdict.many import primary_verdicts, rates
from parity.verdict.statistics import ALPHA, Floats

POWER = 0.8
# Nobody trains more; a figure above it says that this route is closed.
MOST_SEEDS = 1000
MOST_TASKS = 100
# Final score and area under the curve of one run go together: 0.8 to 0.9 on the stored runs of ``tiles``.
METRIC_CORRELATION = 0.8


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
    return _first(lambda n: float(tost_power(n, margin, sd, difference, tasks, alpha)) >= power, 2, MOST_SEEDS)


def tasks_for(
    margin: float, sd: float, seeds: int, difference: float = 0.0, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """The fewest tasks, of ``seeds`` seeds per framework each, with which ``tost_power`` reaches ``power``.

    None where ``seeds_for`` is None for the like reasons, the most being ``MOST_TASKS``, and for fewer than two seeds.
    """
    if seeds < 2 or not math.isfinite(sd) or not abs(difference) < margin:
        return None
    if sd <= 1e-9 * margin:
        return 1
    return _first(lambda k: float(tost_power(seeds, margin, sd, difference, k, alpha)) >= power, 1, MOST_TASKS)


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


@dataclass(frozen=True)
class Design:
    """``seeds`` per framework on each of ``tasks`` tasks; ``power`` is that of ``tost_power`` for no difference."""

    tasks: int
    seeds: int
    power: float

    @property
    def runs(self) -> int:
        """Training runs of SB3 and one port."""
        return 2 * self.tasks * self.seeds


def designs(margin: float, sd: float, power: float = POWER, tasks: Sequence[int] = (1, 2, 4, 6)) -> list[Design]:
    """For each number of tasks the fewest seeds that reach ``power``; a number that cannot reach it is left out."""
    found = ((k, seeds_for(margin, sd, power=power, tasks=k)) for k in tasks)
    return [Design(k, n, float(tost_power(n, margin, sd, tasks=k))) for k, n in found if n is not None]


def verdict_rates(
    seeds: int,
    margin: float,
    sd: float,
    difference: float = 0.0,
    tasks: int = 1,
    correlation: float = METRIC_CORRELATION,
    studies: int = 4000,
    seed: int = 0,
) -> dict[Verdict, float]:
    """How often a study ends with each verdict, by simulation: two primary metrics, pooled where there are several tasks.

    Runs are normal with standard deviation ``sd``; the two metrics of a run correlate by ``correlation`` and both
    differ by ``difference`` on every task. EQUIVALENT needs both metrics, which takes a little power from the formula;
    WORSE is Holm-corrected over the two. The Monte-Carlo standard error is at most ``0.5 / sqrt(studies)``.
    """
    rng = np.random.default_rng(seed)
    shape = (studies, tasks, seeds)
    reference = normal_runs(rng, 0.0, sd, shape, correlation)
    return rates(primary_verdicts(reference, normal_runs(rng, difference, sd, shape, correlation), margin))


def normal_runs(
    rng: np.random.Generator,
    mean: float,
    sd: float,
    shape: tuple[int, int, int],
    correlation: float = METRIC_CORRELATION,
) -> Floats:
    """Simulated scores of one framework, ``[studies, 2 metrics, tasks, n]`` for ``shape`` ``(studies, tasks, n)``."""
    studies, tasks, n = shape
    shared, own = rng.normal(size=(studies, 1, tasks, n)), rng.normal(size=(studies, 2, tasks, n))
    return mean + sd * (math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own)


def seeds_by_simulation(
    margin: float, sd: float, power: float = POWER, tasks: int = 1, correlation: float = METRIC_CORRELATION
) -> int | None:
    """The fewest seeds with which ``verdict_rates`` says EQUIVALENT with ``power``: a little more than ``seeds_for``.

    At a margin of 0.15 and a standard deviation of 0.14: 19, 10, 5 and 4 for 1, 2, 4 and 6 tasks, where the formula says 16,
    8, 4 and 3.

    None where the formula's answer is None, or no number within twice its answer and two more suffices.
    """
    formula = seeds_for(margin, sd, power=power, tasks=tasks)
    if formula is None:
        return None
    for seeds in range(formula, 2 * formula + 3):
        if verdict_rates(seeds, margin, sd, tasks=tasks, correlation=correlation)[Verdict.EQUIVALENT] >= power:
            return seeds
    return None


def _first(suffices: Callable[[int], bool], low: int, high: int) -> int | None:
    """The first whole number from ``low`` to ``high`` that suffices, where more suffices whenever less does."""
    if not suffices(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle + 1, high)
    return low
