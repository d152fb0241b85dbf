"""Every block of the README is run, in its order, as a reader would; the two `make` commands are what CI itself runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Exit codes that the text around a command announces.
ANNOUNCED = {
    "parity run --frameworks sb3 rllib --seeds 1 --steps 4096 --name first-look": 3,
    "parity report first-look": 3,
    "parity bench --rounds 1 --iterations 1": 3,
}
TRAINING = ("parity run", "parity report", "parity bench", "parity bisect", "parity baseline", "parity gate")
# Run by CI and by the slow test below, from a clean clone.
INSTALLING = ("make run", "make test", "python -m venv")


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def test_the_readme_has_python_and_shell_blocks_only() -> None:
    assert {language for language, _ in blocks()} == {"python", "sh"}


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_block_of_the_readme_runs(tmp_path: Path, trains: bool) -> None:
    """``trains``: also the commands that train, and those that need what was trained."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for language, text in blocks():
        if language == "python":
            (tmp_path / "my_port.py").write_text(text, encoding="utf-8")
            continue
        if text.startswith(INSTALLING):
            continue
        for line in text.strip().splitlines():
            command = line.partition("#")[0].strip()
            if command.startswith(TRAINING) and not trains:
                continue
            outcome = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert outcome.returncode == ANNOUNCED.get(command, 0), f"{command}\n{outcome.stdout}\n{outcome.stderr}"
            ran += 1
    assert ran >= 4
    assert (tmp_path / "results" / "first-look" / "report.html").is_file() == trains


@pytest.mark.slow
def test_the_pip_way_installs_a_wheel_that_brings_its_environments(tmp_path: Path) -> None:
    (text,) = [text for _, text in blocks() if text.startswith("python -m venv")]
    create, install, _ = text.strip().splitlines()
    # In this order: the interpreter's own path may have a .venv in it.
    python = create.replace(".venv", str(tmp_path / "venv")).replace("python", sys.executable, 1)
    assert "-c constraints.txt" in install
    subprocess.run(python, shell=True, check=True, timeout=120)
    subprocess.run(
        install.replace(".venv", str(tmp_path / "venv")), shell=True, cwd=README.parent, check=True, timeout=1200
    )
    binary = tmp_path / "venv" / "bin"
    listed = subprocess.run(
        [binary / "parity", "tasks"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert "tiles" in listed.stdout
    claimed = subprocess.run([binary / "python", "-c", "import envs"], cwd=tmp_path, capture_output=True, check=False)
    assert claimed.returncode != 0, "the wheel claims the import name envs"
