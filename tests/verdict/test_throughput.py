"""Ratios of throughput, and when one is slower: held by simulation to what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from parity.verdict.throughput import LEAST_ROUNDS, judge_speed, throughput_ratio

STUDIES = 2000


def rounds(rng: np.random.Generator, rate: float, n: int = LEAST_ROUNDS) -> np.ndarray:
    """Rounds as a quiet machine gives them: 3 % apart, and a hiccup in one of ten."""
    hiccup = np.where(rng.random(n) < 0.1, 0.8, 1.0)
    return rate * np.exp(rng.normal(0, 0.03, n)) * hiccup


def test_the_interval_of_six_rounds_covers_where_a_bootstrap_does_not() -> None:
    rng = np.random.default_rng(0)
    covered, bootstrapped = [], []
    for _ in range(STUDIES):
        a, b = 500 * np.exp(rng.normal(0, 0.05, 6)), 1000 * np.exp(rng.normal(0, 0.05, 6))
        found = throughput_ratio(a, b)
        covered.append(found.low <= 0.5 <= found.high)
        means = np.log(a / b)[rng.integers(6, size=(400, 6))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        bootstrapped.append(low <= math.log(0.5) <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)
    assert np.mean(bootstrapped) < 0.9


def test_what_slows_down_the_whole_machine_for_a_while_leaves_the_ratio_alone() -> None:
    machine = np.array([1.0, 0.5, 0.5, 1.0, 0.7, 0.9])
    found = throughput_ratio(500 * machine, 1000 * machine)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_equally_fast_is_called_slower_in_at_most_one_of_a_hundred_and_a_third_slower_nearly_always() -> None:
    rng = np.random.default_rng(1)
    equal = [judge_speed(list(rounds(rng, 1000)), list(rounds(rng, 1000))).slower for _ in range(STUDIES)]
    third = [judge_speed(list(rounds(rng, 1000)), list(rounds(rng, 667))).slower for _ in range(STUDIES)]
    assert np.mean(equal) <= 0.01
    assert np.mean(third) >= 0.9


def test_a_difference_that_nobody_minds_is_not_slower_however_sure_it_is() -> None:
    assert judge_speed(np.linspace(1000, 1005, 12), np.linspace(950, 955, 12)).slower is False


@pytest.mark.parametrize(("then", "now"), [(5, 5), (0, 6), (6, 0)])
def test_too_few_rounds_say_nothing(then: int, now: int) -> None:
    assert judge_speed([1000.0] * then, [10.0] * now).slower is None


def test_six_rounds_are_the_fewest_that_can_say_anything() -> None:
    n = LEAST_ROUNDS
    smallest = stats.mannwhitneyu(range(n), range(n, 2 * n), alternative="less", method="exact").pvalue
    assert smallest < 0.002 < stats.mannwhitneyu(range(n - 1), range(n, 2 * n - 1), alternative="less").pvalue
    assert judge_speed(list(range(11, 17)), list(range(1, 7))).slower


def test_rates_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        throughput_ratio([1.0, 0.0], [1.0, 1.0])
