"""What is made of an iteration's figures, and where it is told; no framework, no training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from report_studies import conclude, write_study

from parity.audit.course import QUIET, Course
from parity.audit.figures import IterationFigures, LearnerFigures, ModuleFigures, RunnerFigures, Spread
from parity.cli import call
from parity.results.study import load_study, trial_folder
from parity.results.watch import WATCH_FILE, WatchEvent, read_events

VARIED, ZERO = Spread(64, 64, 0.0, 1.0, -2.0, 2.0), Spread(64, 64, 0.0, 0.0, 0.0, 0.0)


def good(**given: object) -> ModuleFigures:
    figures = ModuleFigures("Net", advantages=VARIED, targets=VARIED, rewards=VARIED, values=VARIED, explained=0.5)
    figures.gradients, figures.moved, figures.sizes = {"w": [1.0], "b": [0.1]}, {"w": 0.1, "b": 0.1}, {"w": 9, "b": 1}
    return dataclasses.replace(figures, rows=64, logp_gap=0.0, logp_tolerance=0.01, lr=(1e-3, 1e-3), **given)


def told(*iterations: ModuleFigures, **fields: object) -> list[WatchEvent]:
    course = Course(fields.pop("declared", None))  # type: ignore[arg-type]
    return [
        event
        for i, figures in enumerate(iterations, start=1)
        for event in course.take(IterationFigures(i, 64 * i, [LearnerFigures({"m": figures})], **fields))  # type: ignore[arg-type]
    ]


def test_a_finding_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    bad = good(gae_gap=0.5)
    events = told(good(), bad, bad, bad, *[good()] * (QUIET + 2))
    assert [(e.event, e.code, e.iteration, e.since) for e in events] == [
        ("begin", "PAR404", 2, 2),
        ("end", "PAR404", 4, 2),
    ]


def test_the_first_cause_is_marked_and_what_follows_names_it() -> None:
    events = told(good(value_api=False, advantages=ZERO, targets=ZERO, gradients={"w": [0.0], "b": [1.0]}))
    assert [(e.code, e.first_cause, e.follows_from) for e in events if e.severity == "error"] == [
        ("PAR003", True, None),
        ("PAR401", False, "PAR003"),
        ("PAR402", False, "PAR003"),
    ]


def test_no_reward_yet_is_no_fault() -> None:
    events = told(*[good(rewards=ZERO, advantages=ZERO, targets=ZERO, raw=ZERO, gae_gap=0.0)] * 5)
    assert {e.severity for e in events} == {"info"} and {e.code for e in events} >= {"PAR939", "PAR401"}


def test_constant_targets_are_no_fault_where_gae_makes_them_so() -> None:
    one = Spread(64, 64, 1.0, 0.0, 1.0, 1.0)
    assert {e.severity for e in told(good(rewards=one, targets=one, gae_gap=0.0))} == {"info"}
    assert [e.code for e in told(good(rewards=one, advantages=ZERO, raw=VARIED, gae_gap=0.0))] == ["PAR401"]


def test_a_policy_that_has_decided_may_lose_its_gradient() -> None:
    decided = good(gradients={"w": [0.0], "b": [1e-4]}, entropy=1e-5)
    assert {e.severity for e in told(good(), *[decided] * 5)} == {"info"}
    assert [e.code for e in told(good(), *[dataclasses.replace(decided, entropy=0.9)] * 5)] == ["PAR602"]


def test_what_is_declared_is_info() -> None:
    (event,) = told(good(gae_gap=0.5), declared={"PAR404": "returns of our own"})
    assert (event.severity, event.declared, event.first_cause) == ("info", "returns of our own", False)


def test_a_rate_that_is_another_from_the_start_is_a_choice() -> None:
    changed = dataclasses.replace(good(), lr=(1e-3, 3e-4))
    assert [(e.code, e.severity) for e in told(*[changed] * 3)] == [("PAR931", "info")]
    assert [(e.code, e.severity, e.since) for e in told(good(), changed)] == [("PAR931", "error", 2)]


def test_env_runners_are_held_to_the_learner() -> None:
    runner = RunnerFigures(3, weights={"m": {"w": 1}})
    (event,) = told(good(weights={"w": 2}), runners=[runner])
    assert (event.code, event.evidence["env_runner"]) == ("PAR805", 3)


def test_a_study_says_since_when_and_why(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"sb3": [1.0, 0.98, 1.02], "rllib": [0.0, 0.01, -0.01]})
    cause = WatchEvent(
        event="begin", iteration=4, since=4, steps=8192, code="PAR404", severity="error", module="agent",
        title="value targets differ from SB3's", first_cause=True,
        message="value targets are up to 0.5 of their size away <here>",
    )  # fmt: skip
    path = trial_folder(study, "tiles", "rllib", 0) / WATCH_FILE
    path.write_text(cause.model_dump_json(exclude_defaults=True) + '\n{"event": "be', encoding="utf-8")
    assert read_events(path) == [cause]  # a last line that was cut is left out
    summary = conclude(study)
    page = (study / "report.md").read_text(encoding="utf-8")
    assert "does not learn tiles" in summary.sentence and "since iteration 4 (step 8192)" in summary.sentence
    assert "Seen in training" in page and "PAR404" in page
    html = (study / "report.html").read_text(encoding="utf-8")
    section = html.partition("<h2>Seen in training</h2>")[2].partition("</section>")[0]
    assert "value targets are up to 0.5 of their size away &lt;" in section and ">8,192<" in section
    assert ">rllib<" in section and ">sb3<" not in section
    assert [t.watched for t in load_study(study).trials if t.framework == "sb3"] == [[], [], []]


def test_a_folder_is_read_afterwards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = told(good(), good(gae_gap=0.5))
    (tmp_path / "run").mkdir()
    lines = [event.model_dump_json(exclude_defaults=True) for event in events]
    (tmp_path / "run" / WATCH_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert call(["watch", str(tmp_path)]) == 1
    assert "iteration 2, module m: PAR404" in capsys.readouterr().out
    assert call(["watch", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["events"][0]["code"] == "PAR404"
    assert call(["watch", str(tmp_path / "nothing")]) == 2
