"""``check --full`` where env runners are processes: they find what stands beside the task file, and say what they raise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parity.ladder.run_rungs import run_rungs
from parity.results.capture import AlgorithmRun, Capture, OtherEnvironment

CASES = Path(__file__).parent.parent / "cases"


def checked(name: str, tmp_path: Path, *options: str) -> dict[str, Any]:
    """The document of ``parity check``, in a process and a Ray of its own, as a user has them."""
    # Beside the task file, which is not where the command runs: Ray's processes have that folder on their path anyway.
    (tmp_path / "elsewhere").mkdir()
    for file in (CASES / "packaged.py", *(CASES / "sibling").glob("*.py")):
        (tmp_path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    command = [
        sys.executable,
        "-m",
        "parity",
        "check",
        "--frameworks",
        "rllib",
        "--task",
        f"../port.py:{name}",
        "--json",
    ]
    done = subprocess.run([*command, *options], cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def errors(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["code"]: each for each in document["findings"] if each["severity"] == "error"}


def test_modules_beside_the_task_file_are_there_in_every_process(tmp_path: Path) -> None:
    document = checked("imports", tmp_path, "--full")
    assert not errors(document) and document["algorithm"]["rllib"]["env_runners"] == 2


def test_what_a_worker_raises_as_it_is_made_is_told(tmp_path: Path) -> None:
    only = errors(checked("needs_a_file", tmp_path, "--full"))
    assert list(only) == ["PAR807"]
    assert "FileNotFoundError: no instance ta01.txt" in only["PAR807"]["message"]
    assert only["PAR807"]["where"].startswith("port.py, line ")


@pytest.mark.parametrize(("name", "options"), [("strict_in_a_worker", ["--full"]), ("strict_on_its_way", [])])
def test_a_module_that_is_illegal_only_while_sampling_is_told_as_that(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    only = errors(checked(name, tmp_path, *options))
    assert list(only) == ["PAR302"]
    assert "while an env runner samples" in only["PAR302"]["fix"]
    assert set(only["PAR302"]["consequences"]) == {"PAR807" if options else "PAR312"}


@pytest.mark.parametrize(("name", "severity"), [("levels", "error"), ("own_seeds", "warning")])
def test_an_environment_that_depends_on_worker_index_is_told_from_one_that_only_seeds_itself_by_it(
    tmp_path: Path, name: str, severity: str
) -> None:
    told = {each["code"]: each["severity"] for each in checked(name, tmp_path, "--full")["findings"]}
    assert told["PAR063"] == severity


@pytest.mark.parametrize("follows_seed", [True, False])
def test_another_environment_is_an_error_and_another_seed_a_warning(follows_seed: bool) -> None:
    other = OtherEnvironment(where="rewards, call 4 (step)", follows_seed=follows_seed)
    run = AlgorithmRun(env_runners=2, environments={"env runner 1": other, "env runner 2": other})
    (told,) = (each for each in run_rungs(Capture(algorithm=run)).findings("t", "rllib") if each.code == "PAR063")
    assert told.severity == ("error" if follows_seed else "warning")
    assert (
        "rewards, call 4 (step)" in told.model_extra["message"] and "2 of 2 env runners" in told.model_extra["message"]
    )
