"""Judged studies on disk, with their reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_studies import conclude, write_study

from parity.results.summary import Finding, RungResult

GOOD = {"sb3": [0.97, 0.99, 0.93, 1.0, 0.95], "rllib": [0.92, 0.97, 0.86, 0.98, 0.9]}
SMALL = {"sb3": [0.97, 0.9, 0.93], "rllib": [0.9, 0.8, 0.85]}


@pytest.fixture(scope="session")
def good_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sb3 and rllib, five complete seeds each, EQUIVALENT, one finding and two rungs. Not to be changed by tests."""
    folder = write_study(tmp_path_factory.mktemp("results") / "good", GOOD)
    finding = Finding(
        code="PAR605",
        severity="info",
        title="Adam's epsilon differs",
        task="tiles",
        framework="rllib",
        where="optimiser",
        evidence={"share_of_update": 0.0123},
        fix="PPOTorchLearner with eps=1e-5",
    )
    rungs = {
        "forward": RungResult(rung=1, status="pass", max_abs=0.0, max_rel=0.0, tolerance_needed=0.0),
        "step": RungResult(rung=7, status="explained", max_abs=3e-4, where="policy", reason="Adam's epsilon"),
    }
    conclude(folder, [finding], {"tiles": {"rllib": rungs}})
    return folder


@pytest.fixture
def small_study(tmp_path: Path) -> Path:
    """sb3 and rllib, three complete seeds each, not concluded: for tests that change files before they conclude."""
    return write_study(tmp_path / "results" / "small", SMALL)
