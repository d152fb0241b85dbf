"""junit.xml, as CI systems read it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase
from report_studies import change_trial, conclude, write_study

from parity.results import study as files
from parity.results.summary import Finding


def cases(folder: Path) -> dict[str, TestCase]:
    return {
        f"{suite.name} {case.name}": case for suite in JUnitXml.fromfile(str(folder / "junit.xml")) for case in suite
    }


def outcomes(folder: Path) -> dict[str, type]:
    return {name: type(case.result[0]) for name, case in cases(folder).items() if case.result}


def test_every_claim_of_a_good_study_is_a_passed_case(good_study: Path) -> None:
    found = JUnitXml.fromfile(str(good_study / "junit.xml"))
    assert (found.failures, found.errors, found.skipped) == (0, 0, 0)
    names = set(cases(good_study))
    assert {"tiles.learns sb3 learns", "tiles.learns rllib learns", "tiles.masks sb3 masks"} <= names
    assert {"tiles.equivalence rllib final", "tiles.equivalence rllib auc", "tiles.trials rllib seed 4"} <= names
    assert {"tiles.ladder rllib 1 forward", "findings PAR605 rllib optimiser"} <= names
    assert found.tests == len(names)


@pytest.mark.parametrize(
    ("arms", "require"),
    [
        ({"sb3": [0.97, 0.9, 0.93], "rllib": [0.95, 0.93, 0.9]}, []),
        ({"sb3": [0.97, 0.9, 0.93], "rllib": [0.03, 0.01, 0.02]}, []),
        ({"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]}, []),
        ({"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]}, ["equivalent"]),
        ({"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]}, ["not-worse"]),
        ({"sb3": [0.97, 0.9, 0.93, 0.95, 0.94], "rllib": [0.95, 0.1, 0.9, 0.05, 0.94]}, []),
        ({"sb3": [0.01, 0.0, 0.02], "rllib": [0.95, 0.93, 0.9]}, []),
        ({"sb3": [0.97, 0.9], "rllib": [0.95, 0.93]}, []),
        ({"sb3": [0.97, 0.9, 0.93]}, ["equivalent"]),
        ({"sb3": [0.97, 0.9, 0.93]}, []),
    ],
    ids=["equivalent", "worse", "open", "required", "not worse", "collapse", "sb3", "two seeds", "nothing", "alone"],
)
def test_a_case_fails_exactly_where_the_exit_code_is_not_0(
    tmp_path: Path, arms: Mapping[str, Sequence[float]], require: list[str]
) -> None:
    request = files.Request(
        tasks=["tiles"], frameworks=list(arms), seeds=list(range(len(arms["sb3"]))), require=require
    )
    summary = conclude(write_study(tmp_path / "study", arms, request=request))
    found = set(outcomes(tmp_path / "study").values())
    assert bool(found & {Failure, Error}) is (summary.exit_code != 0), (summary.sentence, found)


def test_an_open_comparison_that_nobody_required_is_skipped(tmp_path: Path) -> None:
    conclude(write_study(tmp_path / "study", {"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]}))
    assert outcomes(tmp_path / "study") == {
        "tiles.equivalence rllib final": Skipped,
        "tiles.equivalence rllib auc": Skipped,
    }


def test_missing_and_crashed_trials_are_errors_with_their_reasons(small_study: Path) -> None:
    change_trial(files.trial_folder(small_study, "tiles", "rllib", 1), status="crashed", reason="\x1b[31m<b> & \x00")
    shutil.rmtree(files.trial_folder(small_study, "tiles", "sb3", 0))
    conclude(small_study, [Finding(code="PAR003", severity="error", title="no value function")])
    found = outcomes(small_study)
    assert found["tiles.trials sb3 seed 0"] is Error and found["tiles.trials rllib seed 1"] is Error
    assert found["tiles.equivalence rllib final"] is Error and found["findings PAR003"] is Failure
    assert "<b> &" in cases(small_study)["tiles.trials rllib seed 1"].result[0].message
