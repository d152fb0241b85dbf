"""The example packages keep what their READMEs say, in the environment that `make test-slow` prepares."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TORCHRL = Path(__file__).parent.parent / "examples" / "parity-torchrl"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Enough to see all three frameworks train and be judged; one seed decides nothing, which is exit code 3.
SHORT = " --seeds 1 --steps 4096 --name short"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def installed() -> None:
    missing = [name for name in ("torchrl", "parity_torchrl") if importlib.util.find_spec(name) is None]
    if missing:
        how = "make test-slow, or pip install -c constraints.txt -e examples/parity-torchrl"
        pytest.skip(f"not run: {' and '.join(missing)} not installed ({how})")


def commands() -> list[str]:
    (block,) = BLOCK.findall((TORCHRL / "README.md").read_text(encoding="utf-8"))
    return [line.removeprefix("../../.venv/bin/") for line in block.strip().splitlines()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def test_the_third_framework_is_installed_trained_and_tested_by_its_readmes_commands(tmp_path: Path) -> None:
    install, train, test = commands()
    assert install == "python -m pip install -c ../../constraints.txt -e . pytest"  # what make test-slow did
    trained = run(train + SHORT, tmp_path)
    assert trained.returncode == 3, trained.stderr
    study = tmp_path / "results" / "short"
    assert (study / "trials/tiles/torchrl/0/checkpoint/training.pt").is_file()
    assert "torchrl" in (study / "report.md").read_text(encoding="utf-8")
    tested = run(test, TORCHRL)
    assert tested.returncode == 0, tested.stdout[-3000:]
    assert " passed" in tested.stdout and " skipped" not in tested.stdout
