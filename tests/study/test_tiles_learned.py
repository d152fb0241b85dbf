"""What the product exists for, on the problem that started it. Minutes long: the slow tier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

REPORTED = Path(__file__).parents[2] / "envs" / "reported"

pytestmark = pytest.mark.slow


def test_both_frameworks_learn_tiles_and_never_act_illegally(parity: Any) -> None:
    outcome = parity("run", "--frameworks", "sb3", "rllib", "--name", "tiles", timeout=1800)
    assert outcome.returncode == 0, outcome.stderr
    task = parity.summary("tiles")["tasks"]["tiles"]
    assert task["learns"] == {"sb3": "LEARNS", "rllib": "LEARNS"}
    for framework in ("sb3", "rllib"):
        assert task["masks"][framework]["decisions"] > 3 * 65_536
        assert task["masks"][framework]["violations"] == task["masks"][framework]["empty"] == 0


def test_the_reported_port_does_not_learn(parity: Any) -> None:
    outcome = parity("run", "--task", str(REPORTED / "port.py"), "--steps", "12000", "--name", "reported", timeout=1800)
    assert outcome.returncode == 1, outcome.stderr
    task = parity.summary("reported")["tasks"]["reported"]
    assert task["learns"] == {"sb3": "LEARNS", "rllib": "DOES_NOT_LEARN"}
    assert "does not learn" in parity.summary("reported")["sentence"]
