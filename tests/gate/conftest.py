"""Studies made of files, a baseline accepted from one of them, and the gate called as on the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_studies import GOOD, OTHER_RUNS, Gated
from report_studies import write_study

from parity.cli import call


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The two studies that most tests begin with are written once, and copied."""
    known = tmp_path_factory.mktemp("studies")

    def write(scores: Any, folder: Path, **fields: Any) -> Path:
        if fields or scores not in (GOOD, OTHER_RUNS):
            return write_study(folder, scores, **fields)
        made = known / ("good" if scores == GOOD else "other") / folder.name
        if not made.exists():
            write_study(made, scores)
        return shutil.copytree(made, folder)

    return write


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository that is gated: an empty current folder, and none of GitHub's variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    # They take most of the time, and none shows anything of the gate.
    drawn = dict.fromkeys(("steps", "train_s", "difference", "throughput", "ladder"), "figure.svg")
    monkeypatch.setattr("parity.report.write_figures", lambda *_: drawn)
    monkeypatch.setattr("parity.report.write_pooled", lambda *_: None)
    return tmp_path


@pytest.fixture
def accept(here: Path, written: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> Callable[..., Path]:
    """Makes a study of scores the baseline; ``change`` is called with its folder before."""

    def run(
        scores: Any = GOOD, name: str = "accepted", change: Callable[[Path], Any] | None = None, **fields: Any
    ) -> Path:
        study = written(scores, here / "results" / name, **fields)
        if change is not None:
            change(study)
        code = call(["baseline", "accept", name, "--reason", "the first release", "--by", "Ada"])
        assert code == 0, capfd.readouterr().err
        return study

    return run


@pytest.fixture
def gate(here: Path, written: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> Callable[..., Gated]:
    """``parity gate now ...`` of a study made of scores, or of the one that lies there."""

    def run(scores: Any = None, *arguments: str, change: Callable[[Path], Any] | None = None, **fields: Any) -> Gated:
        study = here / "results" / "now"
        if scores is not None:
            written(scores, study, **fields)
        if change is not None:
            change(study)
        capfd.readouterr()
        code = call(["gate", "now", *arguments])
        captured = capfd.readouterr()
        return Gated(code, captured.out, captured.err, study)

    return run
