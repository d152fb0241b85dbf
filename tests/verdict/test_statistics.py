"""Size, power and coverage of the statistics by simulation, in seconds; and their limits, by hand.

Simulated rates are compared with bounds that lie three Monte-Carlo standard errors beyond the promised rate.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from parity.results.summary import Verdict
from parity.verdict import power
from parity.verdict import statistics as s

STUDIES = 20_000


def beyond(rate: float, studies: int = STUDIES) -> float:
    """The promised rate and three standard errors of its simulation."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / studies)


def arms(
    n: int, difference: float = 0.0, sd: tuple[float, float] = (1.0, 1.0), seed: int = 0
) -> tuple[s.Floats, s.Floats]:
    """Scores of SB3 and port, ``[STUDIES, n]`` each."""
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, sd[0], (STUDIES, n)), rng.normal(1.0 + difference, sd[1], (STUDIES, n))


def rates(reference: s.Floats, port: s.Floats, margin: float) -> dict[Verdict, float]:
    test = s.welch_difference(reference, port, margin)
    verdicts = s.interval_verdicts(test.low, test.high, margin)
    return {verdict: float(np.mean(verdicts == verdict)) for verdict in Verdict}


class TestInterval:
    @pytest.mark.parametrize("n", [3, 5, 10])
    @pytest.mark.parametrize("sd", [(1.0, 1.0), (1.0, 3.0)], ids=["same_sd", "three_times_the_sd"])
    def test_ninety_percent_interval_covers_the_true_difference(self, n: int, sd: tuple[float, float]) -> None:
        """Welch is a little wide on three runs of equal deviation (0.92), and 0.90 to 0.91 elsewhere."""
        test = s.welch_difference(*arms(n, -0.4, sd), margin=1.0)
        uncovered = 1 - np.mean((test.low <= -0.4) & (test.high >= -0.4))
        assert 0.07 <= uncovered <= beyond(0.10)

    def test_interval_inside_the_margin_is_the_same_as_tost_below_five_percent(self) -> None:
        test = s.welch_difference(*arms(5), margin=1.6)
        equivalent = s.interval_verdicts(test.low, test.high, 1.6) == Verdict.EQUIVALENT
        assert 0.2 < equivalent.mean() < 0.8
        assert np.array_equal(equivalent, test.p_equivalence < s.ALPHA)

    def test_interval_below_zero_is_the_same_as_the_one_sided_test_at_five_percent(self) -> None:
        test = s.welch_difference(*arms(5, -1.0), margin=0.01)
        assert np.array_equal(test.high < 0, test.p_worse < s.ALPHA)

    def test_difference_is_port_minus_reference(self) -> None:
        test = s.welch_difference([1.0, 1.1, 0.9], [0.5, 0.6, 0.4], margin=0.15)
        assert test.estimate == pytest.approx(-0.5)
        assert test.low < -0.5 < test.high < 0

    def test_runs_without_variation_give_a_point(self) -> None:
        same = s.welch_difference([1.0] * 3, [1.0] * 3, margin=0.15)
        assert (same.low, same.high, same.p_worse) == (0.0, 0.0, 1.0)
        assert same.p_equivalence < s.ALPHA
        worse = s.welch_difference([1.0] * 3, [0.5] * 3, margin=0.15)
        assert (worse.low, worse.high, worse.p_worse) == (-0.5, -0.5, 0.0)

    def test_one_run_gives_no_interval(self) -> None:
        test = s.welch_difference([1.0], [0.9, 1.0], margin=0.15)
        assert np.isnan([test.low, test.high, test.p_equivalence, test.p_worse]).all()
        assert s.interval_verdict(float(test.low), float(test.high), 0.15) is Verdict.INCONCLUSIVE


class TestVerdict:
    @pytest.mark.parametrize(
        ("low", "high", "verdict"),
        [
            (-0.1, 0.1, "EQUIVALENT"),
            (-0.14, -0.01, "EQUIVALENT"),
            (-0.15, 0.1, "INCONCLUSIVE"),
            (-0.2, 0.14, "INCONCLUSIVE"),
            (-0.2, -0.01, "WORSE"),
            (-0.2, 0.0, "INCONCLUSIVE"),
            (0.01, 0.2, "BETTER"),
            (math.nan, math.nan, "INCONCLUSIVE"),
        ],
    )
    def test_verdict_follows_from_interval_and_margin(self, low: float, high: float, verdict: str) -> None:
        assert s.interval_verdict(low, high, 0.15) == verdict

    @pytest.mark.parametrize("n", [3, 5, 10])
    @pytest.mark.parametrize("margin", [1.0, 3.0])
    def test_false_equivalence_at_the_margin_is_at_most_five_percent(self, n: int, margin: float) -> None:
        assert rates(*arms(n, -margin), margin)[Verdict.EQUIVALENT] <= beyond(0.05)

    @pytest.mark.parametrize("n", [3, 5, 10])
    def test_worse_under_no_difference_is_at_most_five_percent(self, n: int) -> None:
        assert rates(*arms(n), margin=0.5)[Verdict.WORSE] <= beyond(0.05)

    def test_worse_is_at_most_five_percent_in_a_family_of_tasks_and_metrics_only_after_holm(self) -> None:
        """Four tasks, two metrics each that correlate at 0.8, no difference: without correction 0.2 of the studies."""
        studies, tasks, n = 4000, 4, 5
        rng = np.random.default_rng(1)

        def scores() -> s.Floats:
            shared = rng.normal(size=(studies, tasks, 1, n))
            return math.sqrt(0.8) * shared + math.sqrt(0.2) * rng.normal(size=(studies, tasks, 2, n))

        p = s.welch_difference(scores(), scores(), margin=0.1).p_worse.reshape(studies, -1)
        assert np.mean((p <= s.ALPHA).any(axis=1)) > 0.15
        assert np.mean([(s.holm(row) <= s.ALPHA).any() for row in p]) <= beyond(0.05, studies)


class TestPower:
    @pytest.mark.parametrize(("n", "margin"), [(5, 2.1), (8, 1.55), (10, 1.4), (20, 0.94)])
    def test_formula_agrees_with_simulation_of_the_verdict(self, n: int, margin: float) -> None:
        assert float(power.tost_power(n, margin, 1.0)) == pytest.approx(
            rates(*arms(n), margin)[Verdict.EQUIVALENT], abs=0.03
        )

    @pytest.mark.parametrize(
        ("n", "tasks", "margin"),
        [(3, 1, 3.2), (5, 1, 2.1), (8, 1, 1.55), (10, 1, 1.4), (20, 1, 0.94), (3, 4, 1.25), (5, 4, 0.95), (5, 6, 0.77)],
    )
    def test_published_margins_are_reached_with_eighty_percent(self, n: int, tasks: int, margin: float) -> None:
        assert float(power.tost_power(n, margin, 1.0, tasks=tasks)) >= 0.795

    @pytest.mark.parametrize("n", [5, 10])
    def test_power_at_a_true_difference_agrees_with_simulation(self, n: int) -> None:
        margin = 2.5
        simulated = rates(*arms(n, -1.0), margin)[Verdict.EQUIVALENT]
        assert float(power.tost_power(n, margin, 1.0, difference=-1.0)) == pytest.approx(simulated, abs=0.03)

    def test_power_at_the_margin_is_the_size(self) -> None:
        assert float(power.tost_power(20, 1.5, 1.0, difference=1.5)) == pytest.approx(0.05, abs=0.001)


class TestSeedsNeeded:
    def spread(self, sd: float, n: int = 4) -> list[float]:
        values = np.linspace(-1, 1, n)
        return list(1 + sd * values / values.std(ddof=1))

    def test_first_number_of_seeds_with_enough_power(self) -> None:
        runs = self.spread(0.1)
        needed = power.seeds_needed(runs, runs, 0.15)
        assert needed is not None
        assert power.tost_power(needed, 0.15, 0.1) >= power.POWER > power.tost_power(needed - 1, 0.15, 0.1)

    def test_summary_example_of_the_documentation_needs_nine(self) -> None:
        """Interval [-0.2, 0.14] from three seeds of each framework: a pooled deviation of 0.098."""
        runs = self.spread(0.17 / 2.132 / math.sqrt(2 / 3), n=3)
        assert power.seeds_needed(runs, runs, 0.15) == 9

    def test_variances_are_pooled_by_their_degrees_of_freedom(self) -> None:
        pooled = self.spread(math.sqrt((0.2**2 + 7 * 0.1**2) / 8))
        assert power.seeds_needed(self.spread(0.2, n=2), self.spread(0.1, n=8), 0.15) == power.seeds_needed(
            pooled, pooled, 0.15
        )

    def test_observed_difference_takes_more_seeds(self) -> None:
        runs = self.spread(0.1)
        none, some = power.seeds_needed(runs, runs, 0.15), power.seeds_needed(runs, runs, 0.15, difference=-0.05)
        assert none is not None
        assert some is not None
        assert some > none

    @pytest.mark.parametrize(
        ("runs", "difference"),
        [([1.0], 0.0), ([0.0, 100.0], 0.0), ([1.0, math.nan], 0.0), ([1.0, math.inf], 0.0), ([1.0, 1.1], -0.15)],
        ids=["one_run", "too_many", "nan", "infinite", "difference_at_the_margin"],
    )
    def test_none_where_no_number_can_be_given(self, runs: list[float], difference: float) -> None:
        with np.errstate(invalid="ignore"):
            assert power.seeds_needed(runs, runs, 0.15, difference) is None

    def test_runs_without_variation_need_two(self) -> None:
        assert power.seeds_needed([1.0] * 3, [1.0] * 3, 0.15) == 2


class TestHolm:
    def test_worked_example(self) -> None:
        assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_missing_p_values_are_no_part_of_the_family(self) -> None:
        assert s.holm([math.nan, 0.04, 0.01]) == pytest.approx([math.nan, 0.04, 0.02], nan_ok=True)

    def test_never_above_one(self) -> None:
        assert s.holm([0.9, 0.8]).max() == 1.0


class TestAboveUniformLegal:
    def test_uniform_play_is_called_better_in_one_percent(self) -> None:
        rng = np.random.default_rng(2)
        p_exact = [s.p_above_uniform_legal(rng.normal(0.31, 0.25, 100), 0.31) for _ in range(2000)]
        baseline = rng.normal(0.31, 0.25, (2000, 500))
        p_stored = [s.p_above_uniform_legal(rng.normal(0.31, 0.25, 100), math.nan, row) for row in baseline]
        for p in (p_exact, p_stored):
            assert 0.003 < np.mean(np.array(p) < s.ALPHA_LEARNED) <= beyond(0.01, 2000)

    def test_stored_returns_bring_their_own_uncertainty(self) -> None:
        rng = np.random.default_rng(3)
        returns, baseline = rng.normal(0.4, 0.25, 100), rng.normal(0.31, 0.25, 20)
        exact = s.p_above_uniform_legal(returns, float(baseline.mean()))
        assert s.p_above_uniform_legal(returns, float(baseline.mean()), baseline) > exact

    def test_equal_returns_decide_without_a_test(self) -> None:
        assert s.p_above_uniform_legal([1.0] * 10, 0.5) == 0.0
        assert s.p_above_uniform_legal([0.5] * 10, 0.5) == 1.0
        assert s.p_above_uniform_legal([1.0] * 10, math.nan, [0.5] * 10) == 0.0

    def test_one_episode_decides_nothing(self) -> None:
        assert math.isnan(s.p_above_uniform_legal([1.0], 0.5))


class TestCollapse:
    def test_collapsed_is_below_a_fifth_or_unknown(self) -> None:
        assert s.collapsed([0.19, 0.2, 0.9, math.nan]).tolist() == [True, False, False, True]

    def test_more_collapses_counts_beyond_the_reference(self) -> None:
        assert s.more_collapses([0.9, 0.1, 0.9], [0.1, 0.1, 0.1]) == 2
        assert s.more_collapses([0.1, 0.1], [0.9, 0.9]) == -2

    @pytest.mark.parametrize(
        ("n", "chance", "accused"),
        [(3, 0.1, 0.021), (5, 0.02, 0.004), (5, 0.05, 0.018), (5, 0.1, 0.051), (10, 0.05, 0.055), (10, 0.1, 0.122)],
    )
    def test_two_more_collapses_accuse_an_equal_port_as_seldom_as_the_docstring_says(
        self, n: int, chance: float, accused: float
    ) -> None:
        """Exact: all pairs of counts, each made into runs and shown to the rule, weighted by its probability."""
        weight = stats.binom.pmf(np.arange(n + 1), n, chance)

        def runs(collapses: int) -> list[float]:
            return [0.0] * collapses + [0.9] * (n - collapses)

        found = sum(
            weight[a] * weight[b] for a in range(n + 1) for b in range(n + 1) if s.more_collapses(runs(a), runs(b)) > 1
        )
        assert found == pytest.approx(accused, abs=0.0015)


class TestStepsToThreshold:
    def test_kaplan_meier_median_counts_censored_runs(self) -> None:
        assert s.kaplan_meier_median([3, 4, 5], [False, False, True]) == 4
        assert s.kaplan_meier_median([3, 5, 5], [False, True, True]) == math.inf
        assert s.kaplan_meier_median([5, 5], [True, True]) == math.inf
        # A run censored early leaves the risk set: the second event is then half of those left.
        assert s.kaplan_meier_median([1, 2, 3, 4], [True, False, False, True]) == 3
        assert math.isnan(s.kaplan_meier_median([], []))

    def test_logrank_sees_runs_that_never_arrive(self) -> None:
        fast, slow = [1, 2, 2, 3, 3], [9, 9, 9, 9, 9]
        assert s.logrank_p(fast, [False] * 5, slow, [True] * 5) < 0.01
        assert s.logrank_p(fast, [False] * 5, fast, [False] * 5) == pytest.approx(1.0)

    def test_logrank_calls_equal_arms_different_in_about_five_percent_though_runs_are_censored(self) -> None:
        """Ten runs an arm, a quarter censored; its p-value is asymptotic, so a little above 5 % is allowed."""
        rng = np.random.default_rng(11)
        times = rng.exponential(size=(1000, 2, 10))
        censored = times > 1.4
        times = np.minimum(times, 1.4)
        p = np.array([s.logrank_p(t[0], c[0], t[1], c[1]) for t, c in zip(times, censored, strict=True)])
        assert 0.03 < np.mean(p < 0.05) < 0.08

    def test_a_censored_run_is_no_event_to_the_logrank_test(self) -> None:
        """Runs that were cut off before anything happened say nothing; as events they would all be faster."""
        early, late = [1] * 5, [9] * 5
        assert s.logrank_p(early, [False] * 5, late, [False] * 5) < 0.01
        assert s.logrank_p(early, [True] * 5, late, [False] * 5) == 1.0

    def test_logrank_without_any_event_sees_no_difference(self) -> None:
        assert s.logrank_p([9, 9], [True, True], [9, 9], [True, True]) == 1.0
        assert math.isnan(s.logrank_p([], [], [9, 9], [True, True]))


def test_score_is_zero_at_uniform_legal_and_one_at_best() -> None:
    assert s.normalised_score([0.31, 0.69, 0.5], 0.31, 0.69) == pytest.approx([0, 1, 0.5])
    assert np.isnan(s.normalised_score([0.5], 0.69, 0.31)).all()


def test_above_start_is_paired_and_a_run_that_never_moved_is_not_above_it() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0.4, 0.35, 100)
    assert s.p_above_start(first, first) == 1.0
    assert s.p_above_start(first + 0.1, first) == 0.0
    noisy = first + 0.05 + rng.normal(0, 0.05, 100)
    assert s.p_above_start(noisy, first) < 1e-6 < s.p_above_uniform_legal(noisy, 0.4)
    assert math.isnan(s.p_above_start([1.0], [0.5]))
