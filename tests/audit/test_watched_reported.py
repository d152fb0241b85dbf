"""The port that started this project, in its author's own script: no task file, no Stable-Baselines3 beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from audit.watched_scripts import Broken, Mended, tiles_config
from ray import tune

import parity
from parity.results.watch import WATCH_FILE, WatchEvent, read_events

pytestmark = pytest.mark.usefixtures("ray_started")


def tuned(module: type, folder: Path, iterations: int) -> list[WatchEvent]:
    """What is said of a script with ``tune.run``."""
    config: Any = parity.watch(tiles_config(module))
    tune.run("PPO", config=config, stop={"training_iteration": iterations}, storage_path=str(folder), verbose=0)
    (path,) = folder.rglob(WATCH_FILE)
    return read_events(path)


def test_the_reported_port_is_named_in_its_first_iteration(tmp_path: Path) -> None:
    start, first, *rest = tuned(Broken, tmp_path, iterations=1)
    assert start.event == "start"
    assert (first.code, first.iteration, first.module, first.first_cause) == ("PAR003", 1, "selector", True)
    assert first.fix == "class Broken(TorchRLModule, ValueFunctionAPI)"
    assert "PAR003" in first.sentence and "iteration 1" in first.sentence and first.fix in first.sentence
    assert {each.follows_from for each in rest} == {"PAR003"}


def test_the_mended_port_is_accused_of_nothing(tmp_path: Path) -> None:
    start, *rest = tuned(Mended, tmp_path, iterations=8)
    assert start.event == "start" and not [each for each in rest if each.severity != "info"]
