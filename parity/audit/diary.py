"""Where it is said: the log, ``watch.jsonl`` and TensorBoard's scalars; and what happens on an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from parity.audit.course import Course
from parity.audit.figures import IterationFigures
from parity.results.watch import WATCH_FILE, WatchEvent
from parity.system.board import Board

OnError = Literal["warn", "stop"]
LOG = logging.getLogger("parity.watch")
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


class TrainingStopped(Exception):
    """Raised by ``on_error="stop"`` with the sentence of the first cause."""


class Diary:
    """Judges what it is given of a training, and writes it down.

    Args:
        folder: gets ``watch.jsonl`` and TensorBoard's file; None: only the log gets anything.
        on_error: ``"stop"`` raises `TrainingStopped` after an error was written down.
        declared: code -> reason: told as info.
        board: whether TensorBoard's scalars are written here.
    """

    def __init__(self, folder: Path | None, on_error: OnError, declared: Mapping[str, str], board: bool = True) -> None:
        self._folder, self._on_error, self._draws = folder, on_error, board
        self._course = Course(declared)
        self._board: Board | None = None

    def open(self, what: str) -> None:
        self._write(WatchEvent(event="start", message=what))

    def take(self, now: IterationFigures) -> list[WatchEvent]:
        """Writes down what begins and ends with this iteration.

        Raises:
            TrainingStopped: an error began, and that is to stop the training.
        """
        events = self._course.take(now)
        for event in events:
            self.say(event)
        if self._folder is not None and self._draws:
            if self._board is None:
                self._board = Board(self._folder, ".parity")
            self._board.add(scalars(now), now.steps)
        error = next((e for e in events if e.event == "begin" and e.severity == "error"), None)
        if error is not None and self._on_error == "stop":
            raise TrainingStopped(error.sentence)
        return events

    def say(self, event: WatchEvent) -> None:
        level = _LEVELS[event.severity] if event.event == "begin" else logging.INFO
        LOG.log(level, "%s", event.sentence)
        self._write(event)

    def _write(self, event: WatchEvent) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / WATCH_FILE).open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json(exclude_defaults=True) + "\n")

    def __getstate__(self) -> dict[str, Any]:
        # A training that is kept in mid-course: the file is opened anew.
        return vars(self) | {"_board": None}

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None


def scalars(now: IterationFigures) -> dict[str, float]:
    """What TensorBoard shows, under ``parity/``; with several modules under their ids."""
    shown: dict[str, float] = {}
    modules = now.learners[0].modules if now.learners else {}
    for module, figures in modules.items():
        prefix = "parity" if len(modules) == 1 else f"parity/{module}"
        values: dict[str, float | None] = {
            "advantage_std": figures.advantages.std if figures.advantages else None,
            "value_target_std": figures.targets.std if figures.targets else None,
            "gae_gap": figures.gae_gap,
            "explained_variance": figures.explained,
            "first_logp_gap": figures.logp_gap,
            "kl": figures.kl,
            "clip_fraction": figures.clip_fraction,
            "entropy_share": figures.entropy,
            "illegal_probability": max(
                (p for p in (figures.illegal_sampling, figures.illegal_training) if p is not None), default=None
            ),
            "gradient_norm": figures.gradient_norms[-1] if figures.gradient_norms else None,
            "largest_move": max(figures.moved.values(), default=None),
            "learning_rate": figures.lr[1] if figures.lr else None,
        }
        shown |= {f"{prefix}/{name}": value for name, value in values.items() if value is not None}
    return shown
