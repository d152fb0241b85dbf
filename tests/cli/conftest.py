"""The command line called in this process, or in one of its own where the claim is about processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from parity.cli import call

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What a refusal says: one line that starts with the program's name, the last on stderr."""
        assert self.code == 2, self.err
        assert self.out == ""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("parity: ")]
        assert len(lines) == 1 and self.err.splitlines()[-1] == lines[0], self.err
        return lines[0].removeprefix("parity: ")


@pytest.fixture
def parity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """``parity ARGUMENTS`` in this process and an empty folder; what belongs into a process of its own runs here too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("parity.study.preflight.run_in_subprocess", lambda work, *arguments, **_: work(*arguments))

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = call(list(arguments))
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def parity_apart(tmp_path: Path) -> Callable[..., Outcome]:
    """``parity ARGUMENTS`` as a process, in an empty folder; ``environment`` is added to this one's."""

    def run(*arguments: str, **environment: str) -> Outcome:
        path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(TESTS)]))
        done = subprocess.run(
            [sys.executable, "-c", "from parity.cli import main; main()", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"} | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
