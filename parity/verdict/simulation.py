"""The verdicts of many studies at once, as arrays: for simulated studies and for splits of stored runs.

The same rules as ``parity.verdict.judge``, which judges one stored study; ``tests/verdict/test_simulation.py`` compares
the two. Collapsed seeds, and what makes a study INVALID, are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.results.summary import Verdict
from parity.verdict.pooled_statistics import pooled_difference
from parity.verdict.power import POWER, seeds_for
from parity.verdict.sequential import DEFAULT_LOOKS, InterimAnalysis, SeedCounts, alpha_per_analysis, decided
from parity.verdict.statistics import CONFIDENCE, Floats, holm, interval_verdicts, welch_difference

# Final score and area under the curve of one run go together: 0.8 to 0.9 on the stored runs of ``tiles``.
METRIC_CORRELATION = 0.8


def primary_verdicts(
    reference: ArrayLike, port: ArrayLike, margin: float, confidence: float = CONFIDENCE
) -> NDArray[np.str_]:
    """The port's verdict in every study, str ``[studies]``.

    Args:
        reference: normalised scores of SB3's runs, ``[studies, metrics, tasks, n]``; ``port`` alike. One task is tested by
            Welch, several are pooled.
        margin: of equivalence, in normalised score.
        confidence: of the intervals; WORSE is Holm-corrected over the metrics at ``(1 - confidence) / 2``.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    if a.shape[2] == 1:
        test = welch_difference(a[..., 0, :], b[..., 0, :], margin, confidence)
    else:
        test = pooled_difference(a, b, margin, confidence)
    verdicts = interval_verdicts(test.low, test.high, margin)
    below = (verdicts == Verdict.WORSE) & (holm(test.p_worse) <= (1 - confidence) / 2)
    verdicts = np.where((verdicts == Verdict.WORSE) & ~below, Verdict.INCONCLUSIVE, verdicts)
    return np.select(
        [(verdicts == verdict).any(axis=1) for verdict in (Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.BETTER)],
        [Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.BETTER],
        Verdict.EQUIVALENT,
    )


def rates(verdicts: NDArray[np.str_]) -> dict[Verdict, float]:
    """How often each verdict was said; INVALID never is here."""
    return {verdict: float(np.mean(verdicts == verdict)) for verdict in Verdict if verdict is not Verdict.INVALID}


def sequential_verdicts(
    reference: ArrayLike, port: ArrayLike, margin: float, looks: SeedCounts = DEFAULT_LOOKS
) -> tuple[NDArray[np.str_], NDArray[np.int_]]:
    """Verdict of sequential studies and the seeds per framework at which each stopped, both ``[studies]``.

    Runs as in ``primary_verdicts``, with as many seeds as the last interim analysis has.

    Raises:
        ValueError: no alpha is known for these ``looks``.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    verdicts = np.full(len(a), Verdict.INCONCLUSIVE.value, dtype=object)
    seeds = np.zeros(len(a), np.int_)
    running = np.ones(len(a), bool)
    for n in looks:
        analysis = InterimAnalysis(n, looks, alpha_per_analysis(looks))
        said = primary_verdicts(a[running][..., :n], b[running][..., :n], margin, analysis.confidence)
        verdicts[running], seeds[running] = said, n
        running[running] = [not decided(Verdict(verdict), analysis) for verdict in said]
    return verdicts.astype(np.str_), seeds


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
