"""`parity --install-completion`: a shell that starts then completes commands, options and their values."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Parity = Callable[..., Any]
ASK = """
source "$HOME/.bashrc"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_parity
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["ch"], {"check"}),
        (["run", "--resu"], {"--resume"}),
        (["run", "--track", ""], {"wandb", "mlflow"}),
        (["baseline", ""], {"accept"}),
    ],
)
def test_bash_completes(
    parity: Parity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], completed: set[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".bashrc").write_text("# mine\n")
    outcome = parity("--install-completion", "bash")
    assert outcome.code == 0 and outcome.err.startswith(f"Wrote {tmp_path}") and outcome.out == ""
    assert (tmp_path / ".bashrc").read_text().startswith("# mine\n")
    asked = ["bash", "--noprofile", "--norc", "-c", ASK, "bash", "parity", *typed]
    answer = subprocess.run(asked, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert completed <= set(answer.stdout.split()), answer.stderr


def test_a_shell_that_is_not_recognised_is_one_sentence(parity: Parity, monkeypatch: pytest.MonkeyPatch) -> None:
    from cyclopts.completion import detect

    def none() -> None:
        raise detect.ShellDetectionError

    monkeypatch.setattr(detect, "detect_shell", none)
    assert parity("--install-completion").sentence == (
        "--install-completion: no shell is recognised; name it: bash, zsh, fish or powershell."
    )
