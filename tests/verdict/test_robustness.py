"""Lines that gate nothing: interquartile mean with its BCa interval, probability of improvement, successes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from parity.verdict.robustness import iqm, iqm_difference, probability_of_improvement, successes


def test_iqm_is_the_mean_of_the_middle_half_and_of_three_runs_the_mean() -> None:
    assert iqm([0, 1, 2, 3, 4, 5, 6, 100]) == pytest.approx(3.5)
    assert iqm([1, 2, 9]) == pytest.approx(4)


def coverage(tasks: int, n: int, studies: int) -> float:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(studies):
        found = iqm_difference(rng.normal(size=(tasks, n)), rng.normal(size=(tasks, n)), resamples=500)
        inside += found.low <= 0 <= found.high
    return inside / studies


@pytest.mark.parametrize(("tasks", "n", "least", "most"), [(1, 3, 0.71, 0.89), (4, 5, 0.86, 0.98)])
def test_bca_interval_covers_as_often_as_its_docstring_says(tasks: int, n: int, least: float, most: float) -> None:
    """80 % of three seeds on one task, 92 % of five on four: three standard errors of 200 studies to each side."""
    assert least <= coverage(tasks, n, 200) <= most


def test_the_interval_is_the_same_every_time_and_moves_with_the_runs() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    first = iqm_difference(a, b)
    assert iqm_difference(a, b) == first
    assert first.low < first.estimate < first.high
    assert iqm_difference(a, b, seed=1).low != first.low
    moved = iqm_difference(a, b - 1)
    assert (moved.estimate, moved.low) == pytest.approx((first.estimate - 1, first.low - 1))


def test_runs_are_resampled_within_their_task() -> None:
    """Two tasks without any noise on different levels: resampling across them would give the interval a width."""
    found = iqm_difference([[0.0] * 4, [1.0] * 4], [[0.0] * 4, [1.0] * 4])
    assert (found.low, found.high) == (0.0, 0.0)


def test_one_run_has_no_interval() -> None:
    assert np.isnan([iqm_difference([[1.0]], [[0.5]]).low, iqm_difference([[1.0]], [[]]).estimate]).all()
    assert iqm_difference([[1.0]], [[0.5]]).estimate == -0.5


def test_probability_of_improvement_is_mann_whitneys_u_per_pair_averaged_over_tasks() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 5)), rng.normal(0.5, 1, size=(2, 5))
    expected = np.mean([stats.mannwhitneyu(port, ref).statistic / 25 for ref, port in zip(a, b, strict=True)])
    assert probability_of_improvement(a, b) == pytest.approx(expected)
    assert probability_of_improvement([[1, 1]], [[1, 1]]) == 0.5
    assert probability_of_improvement([[1, 2]], [[3, 4]]) == 1.0
    assert math.isnan(probability_of_improvement([[1.0]], [[math.nan]]))


def test_a_run_without_a_score_is_no_success() -> None:
    assert successes([0.8, 0.79, math.nan], 0.8) == (1, 3)
