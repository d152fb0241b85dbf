"""Ports with networks of their own, under other names: the right one is accused of nothing, a wrong one never passes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from climb import accused, climb
from other_order import ChannelsLast, HalfBlind, tiles_with
from towers import MISTAKES, SIZES, towers_task

from parity.errors import ExitCode
from parity.ladder.findings import RULES


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


def test_inputs_in_another_order_are_compared_in_that_order() -> None:
    document = climb(towers_task("around 400", "inputs reversed"))
    assert document.compared and document.exit_code == ExitCode.HOLDS, document.ladder["rllib-exact"]
    told = {finding.evidence["order"][0] for finding in document.findings if finding.code == "PAR113"}
    assert told == {5} and set(accused(document)) <= {"PAR020"}
    assert document.ladder["rllib-exact"]["lockstep"].status == "pass"


@pytest.mark.parametrize("mistake", ["relu", "for half of them"])
def test_a_mistake_beside_the_order_is_named(mistake: str) -> None:
    document = climb(towers_task("order 1", f"inputs reversed {mistake}"), "rllib")
    assert document.exit_code == ExitCode.DOES_NOT_HOLD
    assert accused(document)[0] in {"PAR101", "PAR102", "PAR110"}


def test_a_port_that_flattens_and_puts_together_in_another_order_is_compared_and_holds() -> None:
    document = climb(tiles_with(ChannelsLast))
    assert document.compared and document.exit_code == ExitCode.HOLDS
    assert set(accused(document)) <= {"PAR020"}, "PyTorch's initialisation is not SB3's"
    told = {finding.evidence["order"][1] for finding in document.findings if finding.code == "PAR113"}
    # The vector; then heads, which see SB3's features 512 and up first, and of the image a channel of a place at a time.
    assert told == {0, 513}
    assert document.ladder["rllib-exact"]["lockstep"].status == "pass"


def test_half_the_image_lost_is_named_in_another_order_too() -> None:
    document = climb(tiles_with(HalfBlind), "rllib")
    assert document.exit_code == ExitCode.DOES_NOT_HOLD and accused(document)[0] in {"PAR101", "PAR102", "PAR110"}


def test_batch_normalisation_is_named_first() -> None:
    document = climb(towers_task("order 1", "batch norm"), "rllib")
    assert accused(document)[0] == "PAR112"
    assert document.findings[0].evidence["layers"] == ["net.statistics"]


def test_a_legal_action_that_is_masked_is_named_and_no_distance_is_told() -> None:
    document = climb(towers_task("order 1", "masks a legal action"), "rllib")
    assert accused(document)[0] == "PAR111"
    assert document.findings[0].evidence["legal_and_masked"] == [1]
    assert "PAR101" in document.findings[0].consequences


def test_the_table_of_what_is_compared_names_what_these_tests_see() -> None:
    table = (Path(__file__).parents[2] / "docs" / "comparable.md").read_text(encoding="utf-8")
    assert set(re.findall(r"PAR\d{3}", table)) <= RULES.keys()
    assert {"PAR101", "PAR102", "PAR110", "PAR112", "PAR104", "PAR026"} <= set(re.findall(r"PAR\d{3}", table))
