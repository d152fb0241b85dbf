"""The example workflow does what its README says: its own commands, read from the YAML, are what runs here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclopts import CycloptsError
from report_studies import copy_study

from parity.cli import app, call
from parity.results.baseline import load_baseline
from parity.task.suites import SUITES

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "ci"
WORKFLOW: dict[str, Any] = yaml.safe_load((EXAMPLE / "parity.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["gate"]["steps"]
COMMANDS = [step["run"] for step in STEPS if "run" in step]


def words(command: str) -> list[str]:
    """As the shell splits it, with the workflow's variables put in."""
    filled = re.sub(r"\$(\w+)", lambda found: WORKFLOW["env"][found[1]], command)
    return shlex.split(filled)


README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
TOLD = [
    words(line)
    for block in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)
    for line in block.strip().splitlines()
]
PARITY = [words(command) for command in COMMANDS if command.startswith("parity ")]


def test_the_workflow_checks_trains_and_gates_and_keeps_the_report_whatever_happens() -> None:
    assert [command[1] for command in PARITY] == ["check", "run", "gate"]
    uses = {step["uses"].partition("@")[0]: step for step in STEPS if "uses" in step}
    python = uses["actions/setup-python"]["with"]
    assert python["cache"] == "pip" and (ROOT / python["cache-dependency-path"]).is_file()
    kept = uses["actions/upload-artifact"]
    assert "always()" in kept["if"] and "results/" in kept["with"]["path"]
    run, gate = (next(s for s in STEPS if s.get("run", "").startswith(f"parity {name}")) for name in ("run", "gate"))
    assert run["continue-on-error"] is True and not {"if", "continue-on-error"} & set(gate), "the gate decides"


@pytest.mark.parametrize("command", [*PARITY, *TOLD], ids=" ".join)
def test_every_command_line_is_one_that_the_command_line_knows(command: list[str]) -> None:
    _, bound, _ = app.parse_args(command[1:], exit_on_error=False, print_error=False)
    assert bound.arguments
    with pytest.raises(CycloptsError):
        app.parse_args([*command[1:], "--no-such-option"], exit_on_error=False, print_error=False)


def test_the_baseline_is_of_the_study_that_the_workflow_runs() -> None:
    baseline = load_baseline(ROOT / WORKFLOW["env"]["BASELINE"])
    suite = SUITES[WORKFLOW["env"]["SUITE"]]
    assert set(baseline.tasks) == set(suite.tasks)
    for task in baseline.tasks.values():
        assert {name: len(side.runs) for name, side in task.frameworks.items()} == dict.fromkeys(
            ["sb3", "rllib"], suite.seeds
        )
    pinned = dict(re.findall(r"^([\w.-]+)==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert baseline.versions["ray"] == pinned["ray"], "the versions of the workflow: else `parity baseline accept`"
    assert baseline.versions["stable-baselines3"] == pinned["stable_baselines3"]


def test_the_gate_of_the_workflow_holds_on_the_study_that_was_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stored runs of the same tasks and seeds: no training, and everything but that is the workflow's own."""
    suite = SUITES[WORKFLOW["env"]["SUITE"]]
    copy_study(ROOT / "results" / "single-agent", tmp_path / "results" / "ci", tasks=list(suite.tasks))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (gate,) = [command for command in PARITY if command[1] == "gate"]
    there = [str(ROOT / word) if word == WORKFLOW["env"]["BASELINE"] else word for word in gate[1:]]
    assert call(there) == 0, capsys.readouterr().err
    assert (tmp_path / "summary.md").read_text().startswith("# Gate: PASS")


@pytest.mark.slow
def test_the_commands_of_the_workflow_run_from_first_to_last(tmp_path: Path) -> None:
    """All but the installation, which `tests/test_readme.py` tries; about five minutes on two quiet cores."""
    binary = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{binary}{os.pathsep}{os.environ['PATH']}", "CI": "true"}
    environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    environment |= WORKFLOW["env"] | {"BASELINE": str(ROOT / WORKFLOW["env"]["BASELINE"])}
    for command in COMMANDS:
        if command.startswith("pip install"):
            continue
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=2400
        )
        assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
    study = tmp_path / "results" / "ci"
    assert json.loads((study / "gate.json").read_text())["exit_code"] == 0
    assert (study / "report.html").is_file() and (study / "junit.xml").is_file()
    assert "Gate: PASS" in (tmp_path / "summary.md").read_text()
