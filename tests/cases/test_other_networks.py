"""Ports with networks of their own, under other names: the right one is accused of nothing, a wrong one never passes."""

from __future__ import annotations

import pytest
from climb import accused, climb
from towers import MISTAKES, SIZES, towers_task

from parity.errors import ExitCode


@pytest.mark.parametrize("size", SIZES)
def test_the_right_network_under_other_names_is_compared(size: str) -> None:
    document = climb(towers_task(size))
    assert document.compared and document.exit_code == ExitCode.HOLDS, document.ladder["rllib-exact"]
    # Another initialisation than SB3's is a warning of its own.
    assert set(accused(document)) <= {"PAR020"}
    assert document.ladder["rllib-exact"]["lockstep"].status == "pass", "rung 9 takes the pairs that rung 1 found"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_network_under_other_names_is_named(mistake: str, size: str) -> None:
    document = climb(towers_task(size, mistake), "rllib")
    named = {finding.code for finding in document.findings if finding.severity == "error"}
    assert document.exit_code == ExitCode.DOES_NOT_HOLD
    assert named & {"PAR101", "PAR102", "PAR104", "PAR110"}
    if MISTAKES[mistake]:
        assert MISTAKES[mistake] in str([finding.evidence for finding in document.findings])
