"""Faults that begin in the middle of a training are named with the iteration; correct trainings are accused of nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit.correct_trainings import CORRECT
from audit.late_faults import BEGINS, LATE, first_named, train

pytestmark = pytest.mark.usefixtures("ray_started")
# One of each framework in the fast tier.
QUICK = ["lambda-changed", "sb3-entropy-coefficient"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in LATE]
)
def test_a_late_fault_is_named_with_the_iteration(name: str, tmp_path: Path) -> None:
    events = train(LATE[name], tmp_path)
    told = first_named(events, LATE[name])
    assert told is not None, [each.sentence for each in events]
    assert not [each for each in events if each.event == "begin" and each.severity != "info" and each.since < BEGINS]


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_training_is_accused_of_nothing(name: str, tmp_path: Path) -> None:
    events, _ = CORRECT[name](tmp_path)
    assert not [each.sentence for each in events if each.event == "begin" and each.severity != "info"]
