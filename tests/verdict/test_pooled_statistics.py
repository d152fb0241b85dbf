"""The mean over tasks: size at the margin, coverage, power of the published table, and what unequal variances do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from parity.results.summary import Verdict
from parity.verdict import statistics as s
from parity.verdict.pooled_statistics import p_tasks_differ, pooled_difference, satterthwaite_difference

STUDIES = 10_000


def beyond(rate: float) -> float:
    """The promised rate and three standard errors of its simulation."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / STUDIES)


def arms(tasks: int, n: int, difference: float = 0.0, sd: object = 1.0, seed: int = 0) -> tuple[s.Floats, s.Floats]:
    """Scores of SB3 and port, ``[STUDIES, tasks, n]``; ``sd`` a number or one per task."""
    rng = np.random.default_rng(seed)
    scale = np.broadcast_to(np.asarray(sd, np.float64), tasks)[:, None]
    # Tasks have means of their own; the test is about differences within a task.
    means = np.linspace(0.2, 1.0, tasks)[:, None]
    shape = (STUDIES, tasks, n)
    return means + scale * rng.normal(size=shape), means + difference + scale * rng.normal(size=shape)


def rate(test: s.Difference, margin: float, verdict: Verdict) -> float:
    return float(np.mean(s.interval_verdicts(test.low, test.high, margin) == verdict))


@pytest.mark.parametrize(("tasks", "n"), [(2, 3), (4, 5), (6, 5)])
def test_false_equivalence_at_the_margin_is_at_most_five_percent(tasks: int, n: int) -> None:
    for margin in (0.8, 2.0):
        test = pooled_difference(*arms(tasks, n, -margin), margin)
        assert rate(test, margin, Verdict.EQUIVALENT) <= beyond(0.05)
    # At a margin that the design can see, the level is used up.
    assert rate(test, margin, Verdict.EQUIVALENT) > 0.04


@pytest.mark.parametrize(("tasks", "n"), [(2, 3), (4, 5)])
def test_ninety_percent_interval_covers_the_true_difference_in_ninety_percent(tasks: int, n: int) -> None:
    test = pooled_difference(*arms(tasks, n, -0.4), margin=1.0)
    uncovered = 1 - np.mean((test.low <= -0.4) & (test.high >= -0.4))
    assert uncovered == pytest.approx(0.10, abs=3 * math.sqrt(0.09 / STUDIES))


def test_worse_under_no_difference_is_at_most_five_percent_of_the_family_of_both_metrics() -> None:
    rng = np.random.default_rng(3)

    def scores() -> s.Floats:
        shared, own = rng.normal(size=(STUDIES, 1, 4, 5)), rng.normal(size=(STUDIES, 2, 4, 5))
        return math.sqrt(0.5) * shared + math.sqrt(0.5) * own

    p = pooled_difference(scores(), scores(), 0.1).p_worse
    assert np.mean((p <= s.ALPHA).any(axis=1)) > 0.065
    assert 0.03 < np.mean((s.holm(p) <= s.ALPHA).any(axis=1)) <= beyond(0.05)


def test_tasks_and_all_together_are_two_families_and_one_of_them_errs_in_at_most_seven_and_a_half_percent() -> None:
    """What ``correct_worse`` says of a study with four tasks: each family at 5 %, either of them in 5 to 7 %."""
    rng = np.random.default_rng(12)

    def scores() -> s.Floats:
        shared, own = rng.normal(size=(STUDIES, 1, 4, 5)), rng.normal(size=(STUDIES, 2, 4, 5))
        return math.sqrt(0.8) * shared + math.sqrt(0.2) * own

    a, b = scores(), scores()
    alone = s.holm(s.welch_difference(a, b, 0.1).p_worse.reshape(STUDIES, -1)).min(axis=1) <= s.ALPHA
    together = s.holm(pooled_difference(a, b, 0.1).p_worse).min(axis=1) <= s.ALPHA
    assert max(alone.mean(), together.mean()) <= beyond(0.05)
    assert 0.05 < (alone | together).mean() <= 0.075


def test_a_port_that_is_worse_by_the_margin_is_called_not_worse_in_at_most_five_percent() -> None:
    for test in (pooled_difference(*arms(4, 5, -0.9), 0.9), s.welch_difference(*(a[:, 0] for a in arms(1, 5, -2)), 2)):
        margin = 0.9 if test.estimate.mean() > -1 else 2.0
        assert 0.03 < np.mean(s.not_worse(test.low, margin)) <= beyond(0.05)
    assert not s.not_worse(math.nan, 0.15)


@pytest.mark.parametrize("sd", [(1.0, 0.1, 0.1, 0.1), (1.0, 1.0, 0.3, 0.1)], ids=["one_noisy_task", "mixed"])
def test_a_noisy_task_among_quiet_ones_costs_the_pooled_test_up_to_two_points_of_its_level(sd: tuple) -> None:
    """The price of pooling, measured: 6.5 % for one noisy task of four, 5 % with a variance for every cell."""
    margin = 0.6
    data = arms(4, 5, -margin, sd)
    pooled = rate(pooled_difference(*data, margin), margin, Verdict.EQUIVALENT)
    own = rate(satterthwaite_difference(*data, margin), margin, Verdict.EQUIVALENT)
    assert own <= beyond(0.05)
    assert own < pooled <= beyond(0.07)


def test_unequal_variances_on_one_task_are_welchs_interval() -> None:
    a, b = arms(1, 5, -0.3)
    welch = s.welch_difference(a[:50, 0], b[:50, 0, :4], 0.5)
    mine = satterthwaite_difference(a[:50], b[:50, :, :4], 0.5)
    for name in ("estimate", "low", "high", "p_equivalence", "p_worse"):
        np.testing.assert_allclose(getattr(mine, name), getattr(welch, name), rtol=1e-9)


def test_interval_and_p_values_say_the_same() -> None:
    test = pooled_difference(*arms(4, 5, -0.3), margin=1.0)
    equivalent = s.interval_verdicts(test.low, test.high, 1.0) == Verdict.EQUIVALENT
    assert 0.2 < equivalent.mean() < 0.95
    assert np.array_equal(equivalent, test.p_equivalence < s.ALPHA)
    assert np.array_equal(test.high < 0, test.p_worse < s.ALPHA)


def test_degrees_of_freedom_are_those_of_all_cells() -> None:
    a, b = (arm[0] for arm in arms(3, 4))
    test = pooled_difference(a, b, 1.0)
    variance = np.mean([arm.var(axis=1, ddof=1).mean() for arm in (a, b)])
    half = stats.t.ppf(0.95, 3 * (2 * 4 - 2)) * math.sqrt(variance * 2 / (3 * 4))
    assert [float(test.low), float(test.high)] == pytest.approx([test.estimate - half, test.estimate + half])


def test_tasks_that_differ_are_seen_and_equal_ones_in_five_percent() -> None:
    a, b = arms(4, 5, -0.3)
    assert np.mean(p_tasks_differ(a, b) < 0.05) == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / STUDIES))
    b[:, 0] -= 4.0
    assert np.mean(p_tasks_differ(a, b) < 0.05) > 0.95
    assert np.isnan(p_tasks_differ(a[:3, :1], b[:3, :1])).all()


def test_limits() -> None:
    point = pooled_difference(np.ones((2, 3)), np.full((2, 3), 0.9), 0.15)
    assert (point.low, point.high, point.p_worse) == (point.estimate, point.estimate, 0.0)
    assert point.p_equivalence < s.ALPHA
    same = pooled_difference(np.ones((2, 3)), np.ones((2, 3)), 0.15)
    assert (same.low, same.high, same.p_worse) == (0.0, 0.0, 1.0)
    for function in (pooled_difference, satterthwaite_difference):
        one = function(np.ones((2, 1)), np.ones((2, 1)), 0.15)
        assert np.isnan([one.low, one.high, one.p_worse, one.p_equivalence]).all()
        hole = np.ones((2, 3))
        hole[0, 0] = math.nan
        assert np.isnan(function(hole, np.ones((2, 3)), 0.15).low)
    with pytest.raises(ValueError, match="same tasks"):
        pooled_difference(np.ones((2, 3)), np.ones((3, 3)), 0.15)
