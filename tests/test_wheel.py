"""The wheel, outside of the repository: built, installed as the quick start says, and used in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Every import of a package of an extra fails as where it is not installed.
WITHOUT_EXTRAS = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "stable_baselines3", "sb3_contrib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""


@pytest.mark.parametrize("command", [["check"], ["run"], ["bench"], ["bisect", "--task", "tiles"]], ids=" ".join)
def test_without_an_extra_a_command_says_in_a_sentence_which(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    program = [sys.executable, "-m", "parity", *command]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert re.search(r"needs the package torch, which is not installed: pip install 'parity\[\w+\]'\.$", done.stderr)


@pytest.mark.slow
def test_a_fresh_environment_with_the_wheel_alone_compares_trains_and_reports(tmp_path: Path) -> None:
    """About 90 s of installing, as `pip install -c constraints.txt ".[all]"` does it, and a study of a minute."""
    wheels, work, source = tmp_path / "wheels", tmp_path / "work", tmp_path / "source"
    work.mkdir()
    # A copy: what an earlier build left in the tree would be in the wheel too.
    for name in ("parity", "envs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=300)
    binary = tmp_path / "venv" / "bin"
    build = [binary / "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, timeout=600)
    (wheel,) = wheels.glob("parity-*-py3-none-any.whl")
    install = [binary / "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), f"parity[all] @ {wheel.as_uri()}"]
    subprocess.run(install, check=True, timeout=1800)

    def parity(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        program = [str(binary / "parity"), *arguments]
        return subprocess.run(program, cwd=work, env=environment, capture_output=True, text=True, timeout=900)

    assert "tiles" in parity("tasks").stdout
    checked = parity("check", "--task", "parity_envs.reported.port:task", "--frameworks", "rllib")
    assert checked.returncode == 1 and "PAR003" in checked.stderr + checked.stdout, checked.stderr
    ran = parity("run", "--task", "probe-mask", "--seeds", "1", "--name", "first")
    assert ran.returncode in (0, 3), ran.stderr
    assert (work / "results" / "first" / "report.html").stat().st_size < 1_500_000
    claimed = subprocess.run([binary / "python", "-c", "import envs"], cwd=work, capture_output=True, check=False)
    assert claimed.returncode != 0, "the wheel claims the import name envs"
