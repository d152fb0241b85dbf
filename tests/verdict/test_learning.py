from __future__ import annotations

import math

import pytest

from parity.results.summary import Learns
from parity.verdict.learning import framework_learns, seed_learned

YES, NO, UNKNOWN = True, False, None


@pytest.mark.parametrize(
    ("score", "p", "learned"),
    [
        (0.9, 0.001, True),
        (0.2, 0.001, True),
        (0.19, 0.001, False),
        (0.9, 0.01, False),
        (0.9, 0.5, False),
        (math.nan, math.nan, None),
        (0.9, math.nan, None),
        (math.nan, 0.001, None),
        (math.nan, 0.5, False),
    ],
)
def test_a_seed_learned_above_uniform_legal_at_one_percent_and_a_fifth_of_the_score(
    score: float, p: float, learned: bool | None
) -> None:
    assert seed_learned(score, p) is learned


def test_a_lucky_start_that_never_moves_has_not_learned() -> None:
    assert seed_learned(0.3, 0.001, p_above_start=1.0, start_score=0.3) is False
    assert seed_learned(0.9, 0.001, p_above_start=0.0001, start_score=0.3) is True
    assert seed_learned(0.6, 0.001, p_above_start=0.5, start_score=0.6) is True, "trained before the study began"


@pytest.mark.parametrize(
    ("learned", "mean", "sb3", "answer"),
    [
        # SB3, or a port where there is no SB3: the seeds alone.
        ([YES] * 3, 0.9, None, "LEARNS"),
        ([YES] * 2, 0.9, None, "UNDECIDED"),
        ([YES], 0.9, None, "UNDECIDED"),
        ([NO], 0.1, None, "DOES_NOT_LEARN"),
        ([YES, NO], 0.5, None, "UNDECIDED"),
        ([NO, NO], 0.1, None, "DOES_NOT_LEARN"),
        ([YES, YES, NO], 0.6, None, "UNDECIDED"),
        ([YES, NO, NO], 0.3, None, "DOES_NOT_LEARN"),
        ([YES] * 2 + [NO] * 2, 0.5, None, "UNDECIDED"),
        # A port beside SB3: half of its mean to learn, under a quarter does not.
        ([YES] * 3, 0.5, 1.0, "LEARNS"),
        ([YES] * 3, 0.49, 1.0, "UNDECIDED"),
        ([YES] * 3, 0.25, 1.0, "UNDECIDED"),
        ([YES] * 3, 0.24, 1.0, "DOES_NOT_LEARN"),
        ([YES] * 2, 0.9, 1.0, "UNDECIDED"),
        # Seeds whose answer is unknown never help, and count against learning only once they could not save it.
        ([YES, YES, UNKNOWN], 0.9, None, "UNDECIDED"),
        ([NO, NO, UNKNOWN], 0.1, None, "DOES_NOT_LEARN"),
        ([NO, UNKNOWN, UNKNOWN], 0.1, None, "UNDECIDED"),
        ([UNKNOWN] * 3, math.nan, None, "UNDECIDED"),
        ([YES, YES, UNKNOWN], 0.1, 1.0, "UNDECIDED"),
        ([YES] * 3, 0.9, math.nan, "UNDECIDED"),
    ],
)
def test_a_framework_learns_by_its_seeds_and_beside_sb3(
    learned: list[bool | None], mean: float, sb3: float | None, answer: str
) -> None:
    assert framework_learns(learned, mean, sb3) is Learns(answer)
