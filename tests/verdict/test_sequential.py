"""Stopping early: the alphas hold their promise over all interim analyses, and the seeds that they save."""

from __future__ import annotations

import math

import numpy as np
import pytest

from parity.results.summary import Verdict
from parity.verdict import statistics as s
from parity.verdict.pooled_statistics import pooled_difference
from parity.verdict.sequential import (
    ALPHA_PER_ANALYSIS,
    DEFAULT_LOOKS,
    InterimAnalysis,
    SeedCounts,
    alpha_per_analysis,
    analysis_at,
    decided,
    next_analysis,
)

STUDIES = 10_000
BEYOND = 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)


def stopped(
    looks: SeedCounts,
    difference: float,
    margin: float,
    alpha: float | None = None,
    tasks: int = 1,
    until: Verdict | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Verdict and number of seeds at which each of ``STUDIES`` studies stopped; runs have a deviation of 1.

    ``until``: go on to the last look unless this is the verdict, as the published figures were simulated.
    """
    rng = np.random.default_rng(8)
    a = rng.normal(size=(STUDIES, tasks, looks[-1]))
    b = rng.normal(difference, 1, size=a.shape)
    verdicts, seeds = np.full(STUDIES, Verdict.INCONCLUSIVE.value), np.full(STUDIES, looks[-1])
    running = np.ones(STUDIES, bool)
    for n in looks:
        due = analysis_at(n, looks)
        assert due is not None
        confidence = due.confidence if alpha is None else 1 - 2 * alpha
        if tasks == 1:
            test = s.welch_difference(a[:, 0, :n], b[:, 0, :n], margin, confidence)
        else:
            test = pooled_difference(a[..., :n], b[..., :n], margin, confidence)
        found = s.interval_verdicts(test.low, test.high, margin)
        stops = {v: decided(v, due) and (until in (None, v) or due.last) for v in Verdict}
        stop = running & np.array([stops[Verdict(v)] for v in found])
        verdicts[stop], seeds[stop] = found[stop], n
        running &= ~stop
    return verdicts, seeds


@pytest.mark.parametrize("looks", list(ALPHA_PER_ANALYSIS), ids=str)
@pytest.mark.parametrize("margin", [1.0, 2.0, 3.0])
def test_false_equivalence_over_all_looks_is_at_most_five_percent(looks: SeedCounts, margin: float) -> None:
    for until in (None, Verdict.EQUIVALENT):
        verdicts, _ = stopped(looks, -margin, margin, until=until)
        assert np.mean(verdicts == Verdict.EQUIVALENT) <= BEYOND


@pytest.mark.parametrize("looks", list(ALPHA_PER_ANALYSIS), ids=str)
def test_false_equivalence_of_four_tasks_pooled_is_at_most_five_percent_too(looks: SeedCounts) -> None:
    verdicts, _ = stopped(looks, -1.0, 1.0, tasks=4, until=Verdict.EQUIVALENT)
    assert np.mean(verdicts == Verdict.EQUIVALENT) <= BEYOND


@pytest.mark.parametrize("looks", list(ALPHA_PER_ANALYSIS), ids=str)
def test_worse_under_no_difference_over_all_looks_is_at_most_five_percent(looks: SeedCounts) -> None:
    verdicts, _ = stopped(looks, 0.0, 0.3)
    assert 0.02 < np.mean(verdicts == Verdict.WORSE) <= BEYOND


@pytest.mark.parametrize(
    ("looks", "alpha", "published"),
    [(DEFAULT_LOOKS, s.ALPHA, 0.108), (DEFAULT_LOOKS, None, 0.041), ((5, 10), None, 0.046)],
)
def test_published_rates_of_false_equivalence_reproduce(
    looks: SeedCounts, alpha: float | None, published: float
) -> None:
    verdicts, _ = stopped(looks, -3.0, 3.0, alpha, until=Verdict.EQUIVALENT)
    assert np.mean(verdicts == Verdict.EQUIVALENT) == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize(("margin", "least", "most"), [(2.0, 6.6, 7.0), (3.0, 4.4, 5.2)])
def test_it_takes_as_many_of_ten_seeds_as_published_where_frameworks_do_not_differ(
    margin: float, least: float, most: float
) -> None:
    for looks in ALPHA_PER_ANALYSIS:
        _, seeds = stopped(looks, 0.0, margin, until=Verdict.EQUIVALENT)
        assert least - 0.15 <= seeds.mean() <= most + 0.15
        assert stopped(looks, 0.0, margin)[1].mean() <= seeds.mean()


def test_which_look_which_alpha_how_many_more() -> None:
    first = analysis_at(3)
    assert first == InterimAnalysis(3, (3, 5, 8, 10), 0.0182)
    assert (first.number, first.last, first.confidence) == (1, False, pytest.approx(0.9636))
    assert analysis_at(4) is None
    due = next_analysis(3)
    assert due is not None and (due.seeds - 3, due.number) == (2, 2)
    assert next_analysis(0, (5, 10)) == InterimAnalysis(5, (5, 10), 0.0294)
    assert next_analysis(10) is None
    with pytest.raises(ValueError, match="beyond the last interim analysis"):
        analysis_at(11)
    with pytest.raises(
        ValueError, match="no alpha is known for interim analyses at 2, 4 seeds; choose from 3, 5, 8, 10; 5, 10"
    ):
        alpha_per_analysis((2, 4))


def test_an_open_verdict_goes_on_until_the_last_look() -> None:
    early, last = analysis_at(5), analysis_at(10)
    assert early is not None and last is not None
    assert not decided(Verdict.INCONCLUSIVE, early)
    assert decided(Verdict.INCONCLUSIVE, last)
    assert all(decided(verdict, early) for verdict in Verdict if verdict is not Verdict.INCONCLUSIVE)
    assert (early.seeds_saved, last.seeds_saved) == (5, 0)
