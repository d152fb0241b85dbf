"""The action does what it promises: its steps run as they are written, in bash as GitHub calls it, with GitHub's files."""

from __future__ import annotations

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
from report_studies import conclude, write_study

from parity.cli import app

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")
# Writes down its arguments, a line each, and ends as it is told to.
STUB = """#!/bin/bash
printf '%s\\n' "$(basename "$0") $*" >> "$CALLS"
case "$1" in check) exit "${CHECK:-0}";; run) exit "${RUN:-0}";; gate) exit "${GATE:-0}";; esac
"""


class Runner:
    """As much of GitHub's runner as the steps need. An action that is used by a step is not run."""

    def __init__(self, workspace: Path, **given: str) -> None:
        unknown = given.keys() - {name.replace("-", "_") for name in ACTION["inputs"]}
        assert not unknown
        self.workspace = workspace
        self.inputs = {
            name: given.get(name.replace("-", "_"), each["default"]) for name, each in ACTION["inputs"].items()
        }
        self.files = {name: workspace / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for file in self.files.values():
            file.touch()

    def run(self, *, path: str, skip: tuple[str, ...] = (), **environment: str) -> int:
        """The exit code of the first step that fails, else 0; steps with ``always()`` run after one too."""
        failed = 0
        for step in STEPS:
            if "run" not in step or step["name"] in skip or not self.holds(step.get("if"), failed):
                continue
            assert step["shell"] == "bash"
            script = self.workspace / "step.sh"
            script.write_text(step["run"], encoding="utf-8")
            assert not EXPRESSION.search(step["run"]), "an input in a script is code of whoever wrote it"
            env = os.environ | environment | {name: str(file) for name, file in self.files.items()}
            env |= {"PATH": path, "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_ACTIONS": "true", "CI": "true"}
            env |= {name: EXPRESSION.sub(self.value, value) for name, value in step.get("env", {}).items()}
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
            done = subprocess.run(command, cwd=self.workspace, env=env, capture_output=True, text=True, timeout=1200)
            self.said = done.stdout + done.stderr
            failed = failed or done.returncode
        return failed

    def value(self, found: re.Match[str]) -> str:
        return self.inputs[found[1].removeprefix("inputs.")]

    def holds(self, condition: str | None, failed: int) -> bool:
        if condition is None:
            return not failed
        (words,) = EXPRESSION.findall(condition)
        if words == "always()":
            return True
        name, empty = re.fullmatch(r"inputs\.([\w-]+) != ('')", words).groups()  # type: ignore[union-attr]
        assert empty == "''"
        return not failed and self.inputs[name] != ""

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.files["GITHUB_OUTPUT"].read_text().splitlines())


@pytest.fixture
def stubs(tmp_path: Path) -> dict[str, str]:
    """`parity` and `pip` that only write down how they were called."""
    for name in ("parity", "pip"):
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(STUB)
        stub.chmod(0o755)
    return {"path": f"{stub.parent}{os.pathsep}{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def calls(stubs: dict[str, str]) -> list[list[str]]:
    return [shlex.split(line) for line in Path(stubs["CALLS"]).read_text().splitlines()]


def test_it_installs_checks_trains_and_gates_and_every_line_is_known_to_the_command_line(
    tmp_path: Path, stubs: dict[str, str]
) -> None:
    runner = Runner(tmp_path, task="my port.py", seeds="5", baseline="base.json", require="not-worse learns")
    assert runner.run(**stubs) == 0
    *pips, check, run, gate = (line[:2] for line in calls(stubs))
    assert [pips, check, run, gate] == [
        [["pip", "install"]] * 2,
        ["parity", "check"],
        ["parity", "run"],
        ["parity", "gate"],
    ]
    text = Path(stubs["CALLS"]).read_text()
    assert f"-c {ROOT}/constraints.txt {ROOT}[all]" in text and "torch==" in text
    for line in ("check --task port.py", "run --name parity --frameworks sb3 rllib --task port.py --seeds 5 --require learns",
                 "gate parity --baseline base.json --require not-worse learns"):  # fmt: skip
        _, bound, _ = app.parse_args(line.split(), exit_on_error=False, print_error=False)
        assert bound.arguments
    assert "run --name parity --frameworks sb3 rllib --task my port.py --seeds 5 --require not-worse learns" in text
    assert "gate parity --baseline base.json --require not-worse learns" in text
    with pytest.raises(CycloptsError):
        app.parse_args(["gate", "parity", "--no-such"], exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("inputs", "codes", "expected", "last"),
    [
        ({"task": "port.py"}, {"CHECK": "1"}, 1, "check"),  # nothing is trained that is known to be computed otherwise
        ({"task": "port.py"}, {"CHECK": "3"}, 0, "run"),
        ({"suite": "quick"}, {}, 0, "run"),
        ({"suite": "quick"}, {"RUN": "1"}, 1, "run"),
        ({"suite": "quick", "baseline": "b.json"}, {"RUN": "1"}, 0, "gate"),  # a waiver may say why
        ({"suite": "quick", "baseline": "b.json"}, {"RUN": "2"}, 2, "run"),
        ({"suite": "quick", "baseline": "b.json"}, {"GATE": "3"}, 3, "gate"),
    ],
)
def test_a_job_fails_where_it_should(
    tmp_path: Path, stubs: dict[str, str], inputs: dict[str, str], codes: dict[str, str], expected: int, last: str
) -> None:
    assert Runner(tmp_path, **inputs).run(**stubs, **codes) == expected
    assert calls(stubs)[-1][1] == last


def test_verdict_and_report_are_outputs_whatever_failed(tmp_path: Path, stubs: dict[str, str]) -> None:
    conclude(write_study(tmp_path / "results" / "parity", {"sb3": [0.9, 0.9, 0.9], "rllib": [0.1, 0.0, 0.1]}))
    runner = Runner(tmp_path, suite="quick")
    assert runner.run(**stubs, RUN="1") == 1
    assert runner.outputs == {"verdict": "WORSE", "report": "results/parity/report.html"}
    assert {each["value"] for each in ACTION["outputs"].values()} == {
        f"${{{{ steps.verdict.outputs.{name} }}}}" for name in runner.outputs
    }
    keep = STEPS[-1]
    assert "upload-artifact" in keep["uses"] and "always()" in keep["if"] and "results/" in keep["with"]["path"]


def test_the_summary_of_a_job_shows_verdict_curves_and_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from parity.cli.conclude import conclude as conclude_as_a_command

    folder = write_study(tmp_path / "results" / "parity", {"sb3": [0.9, 0.9, 0.9], "rllib": [0.1, 0.0, 0.1]})
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert conclude_as_a_command(folder, as_json=False) == 1
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# WORSE: parity")
    (chart,) = re.findall(r"^```mermaid\n(.*?)^```$", summary, re.MULTILINE | re.DOTALL)
    lines = [[float(value) for value in line.split(",")] for line in re.findall(r"line \[(.+)\]", chart)]
    assert 'title "sb3, rllib"' in chart and [len(line) for line in lines] == [25, 25]
    assert lines[0][-1] > lines[1][-1] + 0.2, "SB3 ends above the port"
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1 and len(rows) == 3


def test_findings_are_annotations(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from parity.cli.github import annotate_findings
    from parity.results.summary import Finding

    finding = Finding(
        code="PAR003", severity="error", title="no value function", framework="rllib", where="module m", fix="f"
    )
    annotate_findings([finding])
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    annotate_findings([finding, finding.model_copy(update={"severity": "info"})])
    assert capsys.readouterr().err == "::error title=parity%3A PAR003 (rllib)::no value function, module m; fix: f\n"


def test_the_pre_commit_hook_is_a_command_that_the_command_line_knows() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, *command = shlex.split(hook["entry"])
    assert program == "parity" and hook["pass_filenames"] is False
    _, bound, _ = app.parse_args([*command, "--task", "my_port.py"], exit_on_error=False, print_error=False)
    assert bound.arguments


def test_the_documentation_uses_action_and_hook_as_they_are_and_has_no_address_to_fill_in() -> None:
    page = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    steps, hooks = (yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)[:2])
    assert steps[-1]["with"].keys() <= ACTION["inputs"].keys()
    assert (ROOT / "action.yml").is_file() and steps[-1]["uses"].startswith("./")
    (shown,) = hooks[0]["hooks"]
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert all(hook[name] == value for name, value in shown.items() if name != "entry")
    assert shown["entry"].startswith(hook["entry"] + " --task ")


@pytest.mark.slow
def test_the_steps_run_from_first_to_last_on_a_task(tmp_path: Path) -> None:
    """All but the installation, whose command lines are looked at above; ``tests/test_wheel.py`` installs."""
    binary = str(Path(sys.executable).parent)
    runner = Runner(tmp_path, task="probe-mask", seeds="1")
    code = runner.run(path=f"{binary}{os.pathsep}{os.environ['PATH']}", skip=("Install",))
    assert code in (0, 3), runner.said
    summary = runner.files["GITHUB_STEP_SUMMARY"].read_text()
    assert "xychart-beta" in summary and runner.outputs["verdict"] == "INCONCLUSIVE"
    assert (tmp_path / runner.outputs["report"]).is_file()
