"""A study that was gated says so in its report, until it is judged otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from gate_studies import OTHER_RUNS, SLUMPED, Gated, trial
from junitparser import JUnitXml

from parity.cli import call
from parity.results.summary import json_schema

Accept = Callable[..., Path]
Gate = Callable[..., Gated]


def test_a_report_that_is_rebuilt_keeps_the_gate(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(SLUMPED)
    before = {name: (gated.study / name).read_text() for name in ("report.md", "report.html", "junit.xml")}
    assert call(["report", "now"]) == 1
    for name, text in before.items():
        assert (gated.study / name).read_text() == text
        assert "tiles.rllib.learning.final" in text


def test_a_study_that_was_judged_otherwise_since_says_that_the_gate_is_old(accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(OTHER_RUNS)
    shutil.rmtree(trial(gated.study, "rllib", 4))
    assert call(["report", "now"]) == 1
    old = "The study was judged otherwise since it was gated"
    assert old in (gated.study / "report.md").read_text() and old in (gated.study / "report.html").read_text()
    assert not [
        suite.name for suite in JUnitXml.fromfile(str(gated.study / "junit.xml")) if suite.name.startswith("gate.")
    ]
    assert gate().code == 1
    assert old not in (gated.study / "report.md").read_text()


def test_the_document_on_stdout_is_a_summary(accept: Accept, gate: Gate) -> None:
    accept()
    document = json.loads(gate(OTHER_RUNS, "--json").out)
    jsonschema.validate(document, json_schema())
    assert document["gate"]["outcome"] == "PASS" and document["verdict"] == "EQUIVALENT"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--require", "sure"), "--require"),
        (("--waivers", "none.toml"), "--waivers none.toml: there is no such file"),
        (("--baseline", "none.json"), "--baseline none.json: there is no such file"),
        (("--throughput", "guessed"), "--throughput"),
        (("--out", "nowhere"), "There is no study now"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, str], words: str, accept: Accept, gate: Gate) -> None:
    accept()
    gated = gate(OTHER_RUNS, *arguments)
    assert gated.code == 2 and gated.out == ""
    (line,) = gated.err.splitlines()
    assert line.startswith("parity: ") and words in line


def test_what_the_study_required_is_required_of_it_again(accept: Accept, gate: Gate) -> None:
    wide = {"sb3": [0.97, 0.8, 0.6], "rllib": [0.9, 0.7, 0.99]}
    accept(wide)
    other = {"sb3": [0.96, 0.79, 0.62], "rllib": [0.91, 0.7, 0.97]}
    assert gate(other).code == 0, "open, and nobody asked"
    gated = gate(None, "--require", "not-worse")
    assert gated.code == 3 and gated.document["outcome"] == "UNDECIDED"
    assert "required: not-worse" in gated.sentence
    assert "tiles.rllib.learning.final" in gated.having("undecided")


def test_a_gate_file_that_is_broken_is_a_sentence(
    accept: Accept, gate: Gate, capfd: pytest.CaptureFixture[str]
) -> None:
    accept()
    gated = gate(OTHER_RUNS)
    (gated.study / "gate.json").write_text("{}")
    assert call(["report", "now"]) == 2
    assert "gate.json cannot be read" in capfd.readouterr().err
    assert gate().code == 0, "gating anew writes it anew"
