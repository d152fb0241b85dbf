"""`parity init`: what it writes runs as its own instructions say, in a folder that knows nothing of this repository."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from parity.cli import call
from parity.port import scaffold

TRAINS = "parity run"


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    """Runs a script as a user would, ``parity`` and ``python`` being those of this interpreter."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in (("python", ""), ("parity", "-m parity")):
        (commands / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        (commands / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    environment["PATH"] = f"{commands}{os.pathsep}{environment['PATH']}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(script: str, folder: Path = elsewhere) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def instructions(printed: str) -> list[str]:
    return re.findall(r"^  (\S.*)$", printed, re.MULTILINE)


def workflow(folder: Path) -> Any:
    return yaml.safe_load((folder / ".github/workflows/parity.yml").read_text())


def test_the_printed_commands_hold(shell: Any) -> None:
    """All but the training: its test is slow, and climbs the same ladder first."""
    commands = instructions(shell("parity init 'my port'"))
    assert commands == ["cd 'my port'", "parity check", "python -m pytest", TRAINS]
    shell("\n".join(command for command in commands if command not in ("parity check", TRAINS)))


@pytest.mark.slow
def test_the_printed_commands_train_a_port_that_learns(shell: Any, tmp_path: Path) -> None:
    shell("\n".join(["parity init x", *instructions(shell("parity init y")), "cd ../x"]))
    (summary,) = (tmp_path / "elsewhere" / "y" / "results").glob("*/summary.json")
    found = json.loads(summary.read_text())
    assert found["exit_code"] == 0
    assert found["tasks"]["coins"]["learns"] == {"sb3": "LEARNS", "rllib": "LEARNS"}
    assert found["tasks"]["coins"]["masks"]["rllib"]["violations"] == 0
    assert not [each for each in found["findings"] if each["severity"] == "error"]


@pytest.mark.slow
def test_the_workflows_own_commands_hold(shell: Any, tmp_path: Path) -> None:
    shell("parity init x")
    folder = tmp_path / "elsewhere" / "x"
    commands = [step["run"] for step in workflow(folder)["jobs"]["port"]["steps"] if "run" in step]
    *others, gate = [command for command in commands if "pip install" not in command]
    shell("\n".join(others), folder)
    assert (folder / "results" / "ci" / "report.html").is_file()
    shell(f'parity baseline accept ci --by me --reason "as it should be"\n{gate}', folder)
    assert json.loads((folder / "results" / "ci" / "gate.json").read_text())["exit_code"] == 0


def test_a_module_without_its_mask_in_training_fails_the_scaffolds_own_test(shell: Any, tmp_path: Path) -> None:
    shell("parity init x")
    port = tmp_path / "elsewhere" / "x" / "port.py"
    text = port.read_text()
    line = "logits, values = self._masked_logits_and_values(batch)\n        # PPO's"
    assert line in text
    port.write_text(text.replace(line, line.replace("_masked_logits_and_values(batch)", "network(batch[Columns.OBS])")))
    with pytest.raises(AssertionError, match="2 failed"):
        shell("python -m pytest", port.parent)


def test_the_workflow_checks_trains_caches_and_keeps_the_report(tmp_path: Path) -> None:
    scaffold.create(tmp_path / "x")
    job = workflow(tmp_path / "x")["jobs"]["port"]
    runs = [step.get("run", "") for step in job["steps"]]
    torch = next(i for i, run in enumerate(runs) if "torch" in run)
    rest = next(i for i, run in enumerate(runs) if "-r requirements.txt" in run)
    assert torch < rest and "whl/cpu" in runs[torch], "CPU torch comes before what would bring the default build"
    assert {"parity check", "python -m pytest"} < set(runs)
    assert any(run.startswith(TRAINS) for run in runs)
    gate = next(step for step in job["steps"] if step.get("run", "").startswith("parity gate"))
    assert gate["if"] == "${{ hashFiles('parity-baseline.json') != '' }}", "a new port has no baseline yet"
    uses = {step["uses"].partition("@")[0]: step for step in job["steps"] if "uses" in step}
    assert uses["actions/setup-python"]["with"]["cache"] == "pip"
    assert (tmp_path / "x" / uses["actions/setup-python"]["with"]["cache-dependency-path"]).is_file()
    kept = uses["actions/upload-artifact"]
    assert "always()" in kept["if"] and "results/" in kept["with"]["path"]
    command = runs[torch].replace("pip install", "echo")
    asked = subprocess.run(["bash", "-c", command], cwd=tmp_path / "x", capture_output=True, text=True, check=True)
    assert asked.stdout.startswith(f"torch=={metadata.version('torch').partition('+')[0]} ")


def test_every_file_is_written_and_every_file_is_used(tmp_path: Path) -> None:
    written = scaffold.create(tmp_path / "x")
    found = {str(path.relative_to(tmp_path / "x").as_posix()) for path in (tmp_path / "x").rglob("*") if path.is_file()}
    assert set(written) == found
    stored = {path.name for path in (Path(scaffold.__file__).parent / "port").iterdir() if path.is_file()}
    assert set(scaffold.FILES.values()) == stored


def test_an_empty_folder_is_taken_and_the_current_one_needs_no_cd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["init", ".", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["next"][0] == "parity check" and set(printed["files"]) >= {"env.py", "port.py", "parity.toml"}
    assert (tmp_path / "port.py").is_file()


REFUSED = {
    "full": "full: the folder is not empty; name a new one, nothing was written.",
    "file": "file: there is a file of that name; name a new folder, nothing was written.",
    "file/x": "file/x: cannot write there (Not a directory); choose another folder.",
    "dangling": "dangling: there is a file of that name; name a new folder, nothing was written.",
    "a" * 300: f"{'a' * 300}: cannot write there (File name too long); choose another folder.",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_cannot_be_taken_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/env.py").write_text("mine")
    Path("file").write_text("mine")
    Path("dangling").symlink_to("nowhere")
    before = sorted(Path().rglob("*"))
    assert call(["init", name]) == 2
    assert (capsys.readouterr()).err == f"parity: {REFUSED[name]}\n"
    assert sorted(Path().rglob("*")) == before
    assert Path("full/env.py").read_text() == Path("file").read_text() == "mine"


@pytest.mark.parametrize("existing", [True, False])
def test_where_writing_fails_half_way_nothing_is_left(
    existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if existing:
        Path("x").mkdir()
    open_ = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "parity.yml":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return open_(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    assert call(["init", "x"]) == 2
    assert (
        capsys.readouterr().err == "parity: x: cannot write there (No space left on device); choose another folder.\n"
    )
    assert list(tmp_path.rglob("*")) == ([tmp_path / "x"] if existing else [])


ORIGINS = {
    '{"url": "https://host/o/parity", "vcs_info": {"vcs": "git", "commit_id": "abc"}}': (
        "parity[all] @ git+https://host/o/parity@abc\n"
    ),
    '{"url": "https://host/parity-0.1.0-py3-none-any.whl", "archive_info": {}}': (
        "parity[all] @ https://host/parity-0.1.0-py3-none-any.whl\n"
    ),
    '{"url": "file:///home/me/parity", "dir_info": {}}': "# parity was installed from a folder: ",
    "": "parity[all]==0.1.0\n",
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_requirements_say_where_parity_comes_from_and_never_a_folder_of_this_machine(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = metadata.distribution

    class Installed:
        def read_text(self, _: str) -> str:
            return origin

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed() if name == "parity" else distribution(name))
    text = scaffold.requirements()
    assert text.startswith(ORIGINS[origin]) and "/home/me" not in text
    assert f"stable-baselines3=={metadata.version('stable-baselines3')}\n" in text and "+cpu" not in text


@pytest.mark.parametrize(
    ("remote", "found"),
    [
        ("https://host/o/parity.git", "git+https://host/o/parity.git"),
        ("https://me:token@host/o/parity", "git+https://host/o/parity"),
        ("git@host:o/parity.git", "git+ssh://git@host/o/parity.git"),
        ("ssh://git@host:22/o/parity.git", "git+ssh://git@host:22/o/parity.git"),
        ("/home/me/elsewhere", None),
        ("C:/me/elsewhere", None),
        (None, None),
    ],
)
def test_a_clone_is_told_by_its_repository_and_commit(tmp_path: Path, remote: str | None, found: str | None) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=me", "-c", "user.email=me@host"]
        command = ["git", *who, "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    if remote is not None:
        git("remote", "add", "origin", remote)
    commit = git("rev-parse", "HEAD")
    assert scaffold._cloned_from(tmp_path) == (found and f"{found}@{commit}")
