"""Studies run as users run them: the console script in a process of its own, in a folder outside the repository."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TASK = (Path(__file__).parents[1] / "match_task.py").read_text("utf-8")


@dataclasses.dataclass
class Parity:
    """The console script, run in ``folder``."""

    folder: Path
    prelude: str = ""  # Python to run in the same process before

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", f"{self.prelude}\nfrom parity.cli import main; main()", *arguments]

    def __call__(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background job ignores SIGINT and hands that down; a user's terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def write(self, name: str, *changes: tuple[str, str]) -> str:
        """The task file above with some of its text replaced; each text must be there."""
        text = TASK
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (self.folder / name).write_text(text)
        return name

    def summary(self, study: str) -> dict[str, Any]:
        return json.loads((self.folder / "results" / study / "summary.json").read_text())


@pytest.fixture
def parity(tmp_path: Path) -> Parity:
    return Parity(tmp_path)


@pytest.fixture(scope="module")
def shared_parity(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Parity]:
    """One folder for the tests of a module that read the same study."""
    folder = tmp_path_factory.mktemp("studies")
    return lambda: Parity(folder)
