"""The selftest: what it catches, whom it leaves alone, and that it can fail."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from captures import Collected

from parity.cli import call
from parity.errors import NotSupported
from parity.ladder.findings import RULES
from parity.ladder.run_rungs import RUNGS, run_rungs
from parity.selftest.good import good_port
from parity.selftest.register import BUGS, GOOD_PORTS, Bug, GoodPort, load
from parity.selftest.run import Entry, judge_bug, judge_good_port
from parity.selftest.score import score

load()

# One of each kind, and those that took a check of their own.
SOME_BUGS = [
    "mask-omitted-in-training",
    "zeros-as-advantages",
    "value-features-detached",
    "truncation-per-agent",
    "observation-a-step-late",
    "normalised-for-sampling-only",
    "ratio-not-clipped",
]
SOME_GOOD_PORTS = ["own-module", "separate-encoders", "two-learning-agents", "turn-based", "nothing-shown-at-the-end"]


def judged(name: str, collected: Collected) -> Entry:
    """As a worker process of the command judges it, on numbers that other tests may have needed too."""
    if name in BUGS:
        return judge_bug(BUGS[name], run_rungs(collected(name)))
    good = GOOD_PORTS[name]
    ladders = []
    for framework in good.frameworks:
        with contextlib.suppress(NotSupported):  # a port with a learner of its own cannot be made exact
            ladders.append(run_rungs(collected(name, framework)))
    assert ladders
    return judge_good_port(good, ladders)


@pytest.mark.parametrize("name", SOME_BUGS)
def test_bug_is_caught(name: str, collected: Collected) -> None:
    result = judged(name, collected)
    assert result.outcome == "caught", result


@pytest.mark.parametrize("name", SOME_GOOD_PORTS)
def test_good_port_is_not_accused(name: str, collected: Collected) -> None:
    result = judged(name, collected)
    assert result.outcome == "clear", result


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*BUGS, *GOOD_PORTS} - {*SOME_BUGS, *SOME_GOOD_PORTS}))
def test_the_rest_of_the_register(name: str, collected: Collected) -> None:
    result = judged(name, collected)
    assert result.outcome in ("caught", "clear"), result


def test_a_bug_that_changes_nothing_is_missed(collected: Collected) -> None:
    entry = Bug("nothing", "", frozenset({"PAR201", "distribution"}), lambda good: good)
    result = judge_bug(entry, run_rungs(collected("own-module")))
    assert result.outcome == "missed"
    assert score([result], 0.0).exit_code == 1


def test_a_catch_elsewhere_is_at_the_wrong_rung(collected: Collected) -> None:
    planted = dataclasses.replace(BUGS["reward-scaled"], caught_by=frozenset({"PAR201", "gradient"}))
    result = judge_bug(planted, run_rungs(collected("reward-scaled")))
    assert result.outcome == "wrong rung" and result.roots == ["PAR032"]
    assert score([result], 0.0).exit_code == 1


def test_a_good_port_with_a_bug_is_accused(collected: Collected) -> None:
    broken = GoodPort("broken", "", lambda: BUGS["reward-scaled"].plant(good_port()), ("rllib",))
    result = judge_good_port(broken, [run_rungs(collected("reward-scaled"))])
    assert result.outcome == "accused"
    found = score([result], 0.0)
    assert found.false_alarms == 1 and found.exit_code == 1


def test_the_register_is_large_enough_and_names_what_exists() -> None:
    assert len(BUGS) >= 100 and len(GOOD_PORTS) >= 40
    for entry in BUGS.values():
        assert entry.caught_by and entry.caught_by <= {*RULES, *RUNGS, "not-compared"}, entry.name


def test_the_command_runs_names_in_processes_and_writes_the_score(tmp_path: Path, capfd: Any) -> None:
    names = ["reward-scaled", "own-module"]
    assert call(["selftest", "--only", *names, "--workers", "1", "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == json.loads((tmp_path / "selftest.json").read_text())
    assert printed["caught"] == printed["planted"] == printed["good_ports"] == 1 and printed["false_alarms"] == 0
    assert "| reward-scaled |" in (tmp_path / "selftest.md").read_text()


def test_an_unknown_name_is_refused_in_a_sentence(capfd: Any) -> None:
    assert call(["selftest", "--only", "no-such-bug"]) == 2
    assert "no-such-bug" in capfd.readouterr().err


def test_the_committed_score_is_of_this_register() -> None:
    path = Path(__file__).parents[2] / "results/selftest/selftest.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert {each["name"] for each in stored["bugs"]} == set(BUGS)
    assert {each["name"] for each in stored["ports"]} == set(GOOD_PORTS)
    assert stored["missed"] == stored["wrong_rung"] == stored["false_alarms"] == 0
