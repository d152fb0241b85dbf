"""The gate's errors, by simulation through the function that decides, and its rules for runs that a test cannot judge."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from parity.gate.learning import SAME, Runs, is_not_worse, judge_family, judge_pooled
from parity.results.summary import MetricComparison, Verdict

MARGIN, DEVIATION, CORRELATION = 0.15, 0.14, 0.8
Samples = np.ndarray


def families(studies: int, seeds: int, tasks: int, factor: float, mean: float = 1.0) -> Samples:
    """``[studies, then or now, tasks, frameworks, metrics, seeds]``: two frameworks, two metrics that go together."""
    rng = np.random.default_rng(7)
    shared = rng.normal(size=(studies, 2, tasks, 2, 1, seeds))
    own = rng.normal(size=(studies, 2, tasks, 2, 2, seeds))
    noise = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own
    means = np.array([mean, factor * mean]).reshape(1, 2, 1, 1, 1, 1)
    return means + DEVIATION * noise


def judge(study: Samples) -> list[MetricComparison]:
    """One study, every cell of ``[2, tasks, frameworks, metrics, seeds]`` a member of the family."""
    cells = study.reshape(2, -1, study.shape[-1])
    # Every second is a final score, as in a real family.
    return judge_family(
        Runs(then.tolist(), now.tolist(), MARGIN, collapses=index % 2 == 0)
        for index, (then, now) in enumerate(zip(*cells, strict=True))
    )


def share_worse(samples: Samples) -> float:
    return float(np.mean([any(change.verdict is Verdict.WORSE for change in judge(study)) for study in samples]))


@pytest.mark.parametrize(("seeds", "tasks"), [(3, 1), (5, 1), (5, 4)])
def test_against_an_equal_baseline_the_family_fails_in_at_most_5_percent(seeds: int, tasks: int) -> None:
    """With 1500 studies: 2.7, 2.8 and 3.3 %."""
    studies = 300
    assert share_worse(families(studies, seeds, tasks, 1.0)) <= 0.05 + 1.64 * math.sqrt(0.05 * 0.95 / studies)


def test_the_means_over_tasks_are_a_family_that_fails_in_at_most_5_percent() -> None:
    """With 1500 studies: 4.0 %."""
    studies = 300
    samples = families(studies, 5, 4, 1.0)
    alarms = [
        any(
            change.verdict is Verdict.WORSE
            for change in judge_pooled(
                [
                    [
                        Runs(list(study[0, task, side, metric]), list(study[1, task, side, metric]), MARGIN)
                        for task in range(4)
                    ]
                    for side in range(2)
                    for metric in range(2)
                ]
            )
        )
        for study in samples
    ]
    assert np.mean(alarms) <= 0.05 + 1.64 * math.sqrt(0.05 * 0.95 / studies)


def test_half_of_the_score_lost_is_seen_with_5_seeds() -> None:
    assert share_worse(families(60, 5, 1, 0.5)) >= 0.99


def test_a_fifth_lost_on_every_one_of_four_tasks_is_seen_over_all_of_them_together() -> None:
    samples = families(60, 5, 4, 0.8)
    found = []
    for study in samples:
        pooled = judge_pooled(
            [
                [Runs(list(study[0, task, 1, metric]), list(study[1, task, 1, metric]), MARGIN) for task in range(4)]
                for metric in range(2)
            ]
        )
        found.append(any(change.verdict is Verdict.WORSE for change in pooled))
    assert np.mean(found) >= 0.95


def verdict(then: Sequence[float], now: Sequence[float], **fields: bool) -> MetricComparison:
    (change,) = judge_family([Runs(then, now, MARGIN, **fields)])
    return change


def test_runs_that_are_the_same_seed_by_seed_are_equivalent_whatever_their_spread() -> None:
    spread = [0.1, 0.9, 0.5]
    assert verdict(spread, spread).verdict is Verdict.INCONCLUSIVE
    change = verdict(spread, spread, same=True)
    assert change.verdict is Verdict.EQUIVALENT and change.reason == SAME and is_not_worse(change)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], Verdict.EQUIVALENT),
        ([1.0, 1.0, 1.0], [0.95, 0.95, 0.95], Verdict.EQUIVALENT),
        ([1.0, 1.0, 1.0], [0.7, 0.7, 0.7], Verdict.WORSE),
        ([0.7, 0.7, 0.7], [1.0, 1.0, 1.0], Verdict.BETTER),
        ([1.0], [0.1], Verdict.INCONCLUSIVE),
        ([1.0, 0.9], [0.1], Verdict.INCONCLUSIVE),
        ([], [], Verdict.INCONCLUSIVE),
    ],
)
def test_runs_without_variation_and_runs_too_few(then: list[float], now: list[float], expected: Verdict) -> None:
    assert verdict(then, now).verdict is expected


def test_two_more_collapsed_seeds_are_worse_though_the_means_leave_it_open() -> None:
    then, now = [0.9, 0.95, 0.9, 0.92, 0.95], [0.95, 0.1, 0.9, 0.05, 0.95]
    assert verdict(then, now).verdict is Verdict.INCONCLUSIVE
    assert verdict(then, now, collapses=True).verdict is Verdict.WORSE
    assert verdict(then[:3], now, collapses=True).verdict is Verdict.INCONCLUSIVE, "more runs, more chances"
