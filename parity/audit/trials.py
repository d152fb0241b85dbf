"""Watches the trials of a study."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from parity.audit.diary import LOG
from parity.frameworks.base import Framework
from parity.results.watch import WATCH_FILE


def accompany(framework: Framework, folder: Path, declared: Mapping[str, str]) -> None:
    """Has the next session of a framework watched, where it is one that can be: its ``watch.jsonl`` lies in ``folder``."""
    (folder / WATCH_FILE).unlink(missing_ok=True)  # of a trial that was cut and begins anew
    if "stable-baselines3" in framework.packages:
        framework.watched = functools.partial(_callback, folder, declared)
    elif framework.name == "rllib-old-stack":
        LOG.info("%s is not watched: RLlib's old API stack has no Learner to look at", framework.name)
    elif "ray" in framework.packages:
        from parity.audit.rllib import watch

        framework.watched = functools.partial(watch, folder=folder, declared=declared)


def say_in(log: Callable[[str], None]) -> None:
    """Has what is said written by ``log``, and nowhere else."""
    LOG.propagate = False
    LOG.setLevel(logging.INFO)
    LOG.handlers = [_Handler(log)]


def _callback(folder: Path, declared: Mapping[str, str], _: Any) -> Any:
    from parity.audit.sb3 import WatchCallback

    return WatchCallback(folder, declared=declared)


class _Handler(logging.Handler):
    """Writes what is said into a trial's own log."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log(record.getMessage())
