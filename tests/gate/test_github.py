"""What GitHub reads: the summary of a job, annotations in its log, and the history of github-action-benchmark."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gate_studies import OTHER_RUNS, SLUMPED, Gated, trial, write_bench

from parity.gate.annotations import SHOWN, annotation_lines
from parity.results.gate import BaselineUse, Claim, Gate

COMMAND = re.compile(r"^::(error|warning|notice) title=([^:,]*)::(.*)$")


def unescape(text: str) -> str:
    """As the runner does it: the percent sign last."""
    for escaped, character in (("%2C", ","), ("%3A", ":"), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(escaped, character)
    return text


def decided(*claims: Claim) -> Gate:
    return Gate(
        parity_version="0.1.0",
        study="s",
        gated="2026-11-23T09:00:00Z",
        outcome="FAIL",
        exit_code=1,
        sentence="",
        baseline=BaselineUse(accepted="2026-11-22T09:00:00Z", by="Ada", reason="r", study="b"),
        claims=list(claims),
        summary_sha256="",
    )


def test_the_summary_of_a_job_grows_by_the_gate(
    accept: Callable[..., Path], gate: Callable[..., Gated], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept()
    Path("summary.md").write_text("# What stood there\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    gated = gate(OTHER_RUNS)
    assert Path("summary.md").read_text() == "# What stood there\n" + (gated.study / "gate.md").read_text()


def test_a_summary_that_cannot_be_written_is_said_and_changes_nothing(
    accept: Callable[..., Path], gate: Callable[..., Gated], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nowhere/summary.md")
    gated = gate(OTHER_RUNS)
    assert gated.code == 0 and "GITHUB_STEP_SUMMARY: nowhere/summary.md cannot be written" in gated.err


def test_annotations_go_beside_the_one_document_on_stdout(
    accept: Callable[..., Path], gate: Callable[..., Gated], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept()
    quiet = gate(SLUMPED)
    assert "::error" not in quiet.err, "elsewhere than on GitHub nobody reads them"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    gated = gate(None, "--json")
    document = json.loads(gated.out)
    assert document["study"] == "now" and document["gate"]["exit_code"] == 1
    assert document["tasks"]["tiles"]["verdicts"] == {"rllib": "WORSE"}
    commands = [COMMAND.match(line) for line in gated.err.splitlines() if line.startswith("::")]
    said = {unescape(found[2]): unescape(found[3]) for found in commands if found}
    assert len(said) == len(commands) == 3
    for id_ in gated.having("fail"):
        assert said[f"parity gate: {id_}"] == gated.claims[id_]["message"]


@pytest.mark.parametrize("message", ["50 % less: 1, 2\r\nand %0A", "::warning::no", "%25"])
def test_whatever_a_message_holds_is_one_command_and_comes_back(message: str) -> None:
    (line,) = annotation_lines(decided(Claim(id="a,b:c%", kind="learning", status="fail", message=message)))
    found = COMMAND.match(line)
    assert found is not None and "\n" not in line and "\r" not in line
    assert (found[1], unescape(found[2]), unescape(found[3])) == ("error", "parity gate: a,b:c%", message)


@pytest.mark.parametrize("number", [1, SHOWN, SHOWN + 1, 40])
def test_no_more_annotations_than_github_shows_and_the_rest_is_counted(number: int) -> None:
    claims = [Claim(id=f"c{n}", kind="learning", status="fail", message=f"m{n}") for n in range(number)]
    lines = annotation_lines(decided(*claims))
    assert len(lines) == min(number, SHOWN)
    if number > SHOWN:
        assert lines[-1].endswith(f"::and {number - SHOWN + 1} more: see the summary")


def test_what_a_waiver_covers_is_a_warning() -> None:
    (line,) = annotation_lines(decided(Claim(id="c", kind="learning", status="waived", message="m")))
    assert line.startswith("::warning ")


def test_the_benchmark_file_is_what_the_action_reads(accept: Callable[..., Path], gate: Callable[..., Gated]) -> None:
    accept()
    gated = gate(OTHER_RUNS, change=lambda study: write_bench(study, [640.0, 650, 655, 645, 652, 648]))
    entries = json.loads((gated.study / "benchmark.json").read_text())
    assert all(set(entry) <= {"name", "unit", "value", "range", "extra"} for entry in entries)
    assert all(isinstance(entry["value"], float) and math.isfinite(entry["value"]) for entry in entries)
    assert all(isinstance(entry[key], str) for entry in entries for key in ("name", "unit", "extra"))
    by_name = {entry["name"]: entry for entry in entries}
    assert len(by_name) == len(entries)
    assert by_name["tiles sb3 final score"]["value"] == pytest.approx(0.96, abs=0.02)
    assert by_name["tiles rllib throughput"] == {
        "name": "tiles rllib throughput",
        "unit": "env steps/s",
        "value": pytest.approx(648.3, abs=0.1),
        "range": "± 5.32",
        "extra": "mean of the rounds of parity bench",
    }
    assert by_name["tiles rllib/sb3 throughput"]["value"] == pytest.approx(0.34, abs=0.01)
    assert "shared the machine" in by_name["tiles rllib observed throughput"]["extra"]


def test_a_study_without_usable_runs_has_a_benchmark_file_without_them(
    accept: Callable[..., Path], gate: Callable[..., Gated]
) -> None:
    accept()

    def lose(study: Path) -> None:
        for seed in range(5):
            (trial(study, "rllib", seed) / "trial.json").unlink()

    gated = gate(OTHER_RUNS, change=lose)
    names = {entry["name"] for entry in json.loads((gated.study / "benchmark.json").read_text())}
    assert gated.code == 1 and "tiles sb3 final score" in names and "tiles rllib final score" not in names
