"""What a person sees while trials run, on stderr: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from ray import tune
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from parity.study.trial import TrialSpec
from parity.system.console import console, say

PROGRESS_FILE = "progress"
CRASHED, LAST_RETURN = "crashed", "last_return"  # in a trial's result
EVERY_SECONDS = 0.5
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
# Of a terminal's lines: head, foot and what stands above.
LINES_BESIDE_ROWS = 6


class Progress(NamedTuple):
    """How far a trial is: environment steps, the last evaluation's mean return, steps per second, NaN before the first."""

    steps: int
    last_return: float
    steps_per_s: float = math.nan


def progress_writer(folder: Path) -> Callable[[int, float], None]:
    """What a trial calls with its steps and last return; whoever looks at its folder then finds its `Progress`."""
    begin: tuple[int, float] | None = None

    def write(steps: int, last_return: float) -> None:
        nonlocal begin
        now = time.perf_counter()
        begin = begin or (steps, now)  # a trial that goes on does not begin at 0
        speed = (steps - begin[0]) / (now - begin[1]) if steps > begin[0] else math.nan
        new = folder / f"{PROGRESS_FILE}.new"
        new.write_text(f"{steps} {last_return} {speed}", encoding="utf-8")
        new.replace(folder / PROGRESS_FILE)

    return write


def read_progress(folder: Path) -> Progress | None:
    """What was written last; None before, and once the trial has ended."""
    try:
        steps, last_return, speed = (folder / PROGRESS_FILE).read_text("utf-8").split()
    except FileNotFoundError:
        return None
    return Progress(int(steps), float(last_return), float(speed))


def remove_progress(folder: Path) -> None:
    (folder / PROGRESS_FILE).unlink(missing_ok=True)


@dataclass
class _Row:
    total: int
    folder: Path
    state: str = WAITING
    progress: Progress = field(default_factory=lambda: Progress(0, math.nan))
    tenths: int = 0

    @property
    def left_s(self) -> float:
        """NaN where nobody knows yet."""
        return max(0, self.total - self.progress.steps) / self.progress.steps_per_s


class ProgressDisplay(tune.Callback):
    """A live table on a terminal; elsewhere a line when a trial starts, at every tenth of its steps, and when it ends."""

    def __init__(self, specs: list[TrialSpec]) -> None:
        self._console = console()
        self._rows = {spec.label: _Row(spec.steps, Path(spec.folder)) for spec in specs}
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=2)
        self._looked = 0.0

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks beside its state; a terminal cannot be, and nobody resumes from there.
        return {}

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._change(trial, RUNNING, "started")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._looked < EVERY_SECONDS:
            return
        self._looked = time.monotonic()
        for label, row in self._rows.items():
            if row.state == RUNNING and (progress := read_progress(row.folder)) is not None:
                row.progress = progress
                self._say_tenth(label, row)

    def _say_tenth(self, label: str, row: _Row) -> None:
        tenths = 10 * row.progress.steps // row.total
        if tenths > row.tenths:
            row.tenths = tenths
            left = f", {row.left_s:.0f} s left" if math.isfinite(row.left_s) else ""
            self._line(
                f"{label}: {row.progress.steps} of {row.total} steps, return {row.progress.last_return:.3g}{left}"
            )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        row, result = self._rows[trial.config["trial"]], trial.last_result
        if result.get(CRASHED):
            self._change(trial, "crashed, see its log")
            return
        row.progress = Progress(row.total, result.get(LAST_RETURN, math.nan), row.progress.steps_per_s)
        self._change(trial, DONE)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._change(trial, WAITING, "its process died; it is tried again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._change(trial, "its process died too often")

    def _change(self, trial: Any, state: str, words: str | None = None) -> None:
        label = trial.config["trial"]
        self._rows[label].state = state
        self._line(f"{label}: {words or state}")

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            say(text)

    def _table(self) -> Table:
        """Of the trials, those that fit: first those that run, then those that ended; the others are counted."""
        table = Table(box=None, caption=self._foot(), caption_justify="left")
        for head in ("trial", "", "steps", "return", "steps/s", "left", ""):
            table.add_column(head, justify="right" if head in ("steps", "return", "steps/s", "left") else "left")
        order = sorted(
            self._rows, key=lambda label: (self._rows[label].state != RUNNING, self._rows[label].state == WAITING)
        )
        shown = set(order[: max(1, self._console.height - LINES_BESIDE_ROWS)])
        for label, row in self._rows.items():
            if label not in shown:
                continue
            steps, last_return, speed = row.progress
            table.add_row(
                Text(label),
                ProgressBar(row.total, min(steps, row.total), width=20),
                f"{steps:,} of {row.total:,}",
                _figure(last_return, ".3g"),
                _figure(speed, ",.0f"),
                _clock(row.left_s) if row.state == RUNNING else "",
                row.state,
            )
        return table

    def _foot(self) -> str:
        rows = self._rows.values()
        states = Counter(row.state if row.state in (WAITING, RUNNING, DONE) else FAILED for row in rows)
        foot = ", ".join(f"{states[state]} {state}" for state in (DONE, FAILED, RUNNING, WAITING) if states[state])
        speed = sum(row.progress.steps_per_s for row in rows if row.state == RUNNING)
        steps = sum(row.total - row.progress.steps for row in rows if row.state in (WAITING, RUNNING))
        # While a trial that runs has not said how fast it is, nobody knows.
        return f"{foot}; about {_clock(steps / speed)} left" if speed > 0 else foot


def _figure(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
