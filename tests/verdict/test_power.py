"""Planning: the formula against simulation, and the published table of what a design can see."""

from __future__ import annotations

import math

import numpy as np
import pytest

from parity.results.summary import Verdict
from parity.verdict import power, simulation
from parity.verdict import statistics as s
from parity.verdict.pooled_statistics import pooled_difference

STUDIES = 10_000
CV, MARGIN = 0.14, 0.15

# EQUIVALENT and WORSE at a margin of 15 % and a run-to-run deviation of 14 %, for (tasks, true drop) at five seeds.
PUBLISHED = {
    (1, 0.0): (0.16, 0.04),
    (1, 0.2): (0.01, 0.67),
    (1, 0.5): (0.00, 1.00),
    (4, 0.0): (0.89, 0.03),
    (4, 0.1): (0.29, 0.64),
    (4, 0.2): (0.00, 0.99),
}


def table_row(tasks: int, drop: float, freedom: float = math.inf) -> tuple[float, float]:
    """Rates of EQUIVALENT and WORSE in one metric; runs are t-distributed with ``freedom``, scaled to the deviation."""
    rng = np.random.default_rng(9)
    shape = (STUDIES, tasks, 5)

    def runs(mean: float) -> s.Floats:
        if math.isinf(freedom):
            return mean + CV * rng.normal(size=shape)
        return mean + CV * rng.standard_t(freedom, shape) / math.sqrt(freedom / (freedom - 2))

    a, b = runs(1.0), runs(1.0 - drop)
    test = s.welch_difference(a[:, 0], b[:, 0], MARGIN) if tasks == 1 else pooled_difference(a, b, MARGIN)
    verdicts = s.interval_verdicts(test.low, test.high, MARGIN)
    return float(np.mean(verdicts == Verdict.EQUIVALENT)), float(np.mean(verdicts == Verdict.WORSE))


@pytest.mark.parametrize(("tasks", "drop"), list(PUBLISHED))
def test_table_of_verdicts_reproduces_within_three_points_on_runs_with_heavy_tails(tasks: int, drop: float) -> None:
    """Student's t with 5 degrees of freedom, one metric: every row. That the table was made so is a guess of ours."""
    assert table_row(tasks, drop, freedom=5) == pytest.approx(PUBLISHED[tasks, drop], abs=0.03)


@pytest.mark.parametrize(("tasks", "drop"), [row for row in PUBLISHED if row != (1, 0.0)])
def test_table_of_verdicts_reproduces_within_three_points_on_normal_runs_but_for_one_row(
    tasks: int, drop: float
) -> None:
    assert table_row(tasks, drop) == pytest.approx(PUBLISHED[tasks, drop], abs=0.03)


def test_one_task_of_five_seeds_shows_equivalence_in_nine_percent_on_normal_runs_where_the_table_says_sixteen() -> None:
    equivalent, worse = table_row(1, 0.0)
    assert equivalent == pytest.approx(0.09, abs=0.01)
    assert worse == pytest.approx(0.045, abs=0.01)
    assert float(power.tost_power(5, MARGIN, CV)) == pytest.approx(0.10, abs=0.01)


@pytest.mark.parametrize(("tasks", "n", "margin"), [(4, 3, 1.25), (4, 5, 0.95), (6, 5, 0.77)])
def test_pooled_margins_of_the_table_are_reached_with_eighty_percent(tasks: int, n: int, margin: float) -> None:
    rng = np.random.default_rng(10)
    test = pooled_difference(rng.normal(size=(STUDIES, tasks, n)), rng.normal(size=(STUDIES, tasks, n)), margin)
    simulated = np.mean(s.interval_verdicts(test.low, test.high, margin) == Verdict.EQUIVALENT)
    assert simulated == pytest.approx(0.80, abs=0.03)
    assert simulated == pytest.approx(float(power.tost_power(n, margin, 1.0, tasks=tasks)), abs=0.015)


def test_tasks_are_cheaper_than_seeds() -> None:
    alone, four = power.seeds_for(MARGIN, CV), power.seeds_for(MARGIN, CV, tasks=4)
    assert (alone, four) == (16, 4)
    assert power.tost_power(5, MARGIN, CV, tasks=4) >= power.POWER > power.tost_power(5, MARGIN, CV, tasks=3)


@pytest.mark.parametrize("tasks", [1, 2, 4, 6])
def test_the_seeds_are_the_fewest_that_reach_the_power(tasks: int) -> None:
    seeds = power.seeds_for(MARGIN, CV, tasks=tasks)
    assert seeds is not None
    assert power.tost_power(seeds, MARGIN, CV, tasks=tasks) >= power.POWER
    assert power.tost_power(seeds - 1, MARGIN, CV, tasks=tasks) < power.POWER


def test_more_tasks_reach_a_power_that_no_number_of_seeds_on_one_task_does() -> None:
    assert [power.seeds_for(0.01, 0.2, tasks=tasks) for tasks in (1, 2, 4, 6)] == [None] * 4
    assert power.seeds_for(0.01, 0.1) is None
    assert power.seeds_for(0.01, 0.1, tasks=60) is not None


@pytest.mark.parametrize(
    ("sd", "difference"), [(math.nan, 0.0), (math.inf, 0.0), (0.1, 0.15), (0.1, -0.2), (100.0, 0.0)]
)
def test_no_number_where_none_would_do(sd: float, difference: float) -> None:
    assert power.seeds_for(MARGIN, sd, difference) is None


def test_limits_of_a_plan() -> None:
    assert power.seeds_for(MARGIN, 0.0) == 2


def test_both_metrics_take_a_little_power_and_simulation_says_how_many_seeds_that_costs() -> None:
    one = simulation.verdict_rates(5, MARGIN, CV, tasks=4, correlation=1.0)
    both = simulation.verdict_rates(5, MARGIN, CV, tasks=4)
    assert sum(both.values()) == pytest.approx(1)
    assert one[Verdict.EQUIVALENT] == pytest.approx(float(power.tost_power(5, MARGIN, CV, tasks=4)), abs=0.02)
    assert 0.02 < one[Verdict.EQUIVALENT] - both[Verdict.EQUIVALENT] < 0.08
    formula, simulated = power.seeds_for(MARGIN, CV, tasks=2), simulation.seeds_by_simulation(MARGIN, CV, tasks=2)
    assert formula is not None and simulated is not None
    assert formula <= simulated <= formula + 2
    assert simulation.verdict_rates(simulated, MARGIN, CV, tasks=2)[Verdict.EQUIVALENT] >= power.POWER
    assert simulation.seeds_by_simulation(MARGIN, math.nan) is None


def test_simulated_verdicts_hold_their_error_rates() -> None:
    for tasks in (1, 4):
        at_margin = simulation.verdict_rates(5, 0.3, CV, difference=-0.3, tasks=tasks)
        assert at_margin[Verdict.EQUIVALENT] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
        none = simulation.verdict_rates(5, 0.05, CV, tasks=tasks)
        assert none[Verdict.WORSE] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
