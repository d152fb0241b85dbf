"""The example packages keep what their READMEs say, in the environment that `make test-slow` prepares."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TORCHRL = Path(__file__).parent.parent / "examples" / "parity-torchrl"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def installed() -> None:
    missing = [name for name in ("torchrl", "parity_torchrl") if importlib.util.find_spec(name) is None]
    if missing:
        how = "make test-slow, or pip install -c constraints.txt -e examples/parity-torchrl"
        pytest.skip(f"not run: {' and '.join(missing)} not installed ({how})")


def test_the_third_frameworks_own_tests_pass_by_its_readmes_command() -> None:
    command = "-m pytest"
    assert f"python {command}\n" in (TORCHRL / "README.md").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=TORCHRL, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout
