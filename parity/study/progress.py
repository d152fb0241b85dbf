"""What a person sees while trials run: one line per trial with steps, score and time left, on stderr."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ray import tune
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from parity.study.trial import TrialSpec
from parity.system.console import say

PROGRESS_FILE = "progress"
CRASHED = "crashed"  # in a trial's result
EVERY_SECONDS = 0.5


def write_progress(folder: Path, steps: int, last_return: float) -> None:
    """Environment steps so far and the last evaluation's mean return, for whoever looks at the trial's folder."""
    new = folder / f"{PROGRESS_FILE}.new"
    new.write_text(f"{steps} {last_return}", encoding="utf-8")
    new.replace(folder / PROGRESS_FILE)


def read_progress(folder: Path) -> tuple[int, float] | None:
    """What `write_progress` wrote last; None before, and once the trial has ended."""
    try:
        steps, last_return = (folder / PROGRESS_FILE).read_text("utf-8").split()
    except FileNotFoundError:
        return None
    return int(steps), float(last_return)


def remove_progress(folder: Path) -> None:
    (folder / PROGRESS_FILE).unlink(missing_ok=True)


class ProgressDisplay(tune.Callback):
    """A live table on a terminal; elsewhere a line when a trial starts, at every tenth of its steps, and when it ends."""

    def __init__(self, specs: list[TrialSpec]) -> None:
        self._console = Console(stderr=True)
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("return {task.fields[score]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[state]}"),
            console=self._console,
        )
        self._rows = {
            spec.label: self._live.add_task(spec.label, total=spec.steps, start=False, score="-", state="waiting")
            for spec in specs
        }
        self._steps = {spec.label: spec.steps for spec in specs}
        self._folders = {spec.label: Path(spec.folder) for spec in specs}
        self._looked = 0.0
        self._tenths = dict.fromkeys(self._rows, 0)
        self._started: dict[str, float] = {}
        self._unfinished = set(self._rows)

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
        label = trial.config["trial"]
        self._started[label] = time.monotonic()
        self._live.start_task(self._rows[label])
        self._live.update(self._rows[label], state="running")
        self._line(f"{label}: started")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._looked < EVERY_SECONDS:
            return
        self._looked = time.monotonic()
        for label in self._started.keys() & self._unfinished:
            self._show_progress(label)

    def _show_progress(self, label: str) -> None:
        progress = read_progress(self._folders[label])
        if progress is None:
            return
        total, (steps, last_return) = self._steps[label], progress
        score = f"{last_return:.3g}"
        self._live.update(self._rows[label], completed=min(steps, total), score=score)
        tenth = 10 * steps // total
        if tenth > self._tenths[label]:
            self._tenths[label] = tenth
            elapsed = time.monotonic() - self._started.get(label, time.monotonic())
            left = elapsed * max(0, total - steps) / max(1, steps)
            self._line(f"{label}: {steps} of {total} steps, return {score}, {left:.0f} s left")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        label = trial.config["trial"]
        self._live.update(self._rows[label], completed=self._steps[label])
        self._end(trial, "crashed, see its log" if trial.last_result.get(CRASHED) else "done")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._line(f"{trial.config['trial']}: its process died; it is tried again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._end(trial, "its process died too often")

    def _end(self, trial: Any, state: str) -> None:
        label = trial.config["trial"]
        self._unfinished.discard(label)
        self._live.update(self._rows[label], state=state)
        self._line(f"{label}: {state}")

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            say(text)
