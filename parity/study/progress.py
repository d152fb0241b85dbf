"""What a person sees while trials run: one line per trial with steps, score and time left, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from ray import tune
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from parity.study.trial import TrialSpec


class ProgressDisplay:
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
        self._rows: dict[str, TaskID] = {
            spec.label: self._live.add_task(spec.label, total=spec.steps, start=False, score="-", state="waiting")
            for spec in specs
        }
        self._steps = {spec.label: spec.steps for spec in specs}
        self._tenths = dict.fromkeys(self._rows, 0)
        self._started: dict[str, float] = {}
        self._running = set(self._rows)
        self.interrupted = False

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self.interrupted = bool(self._running)

    def callback(self) -> tune.Callback:
        return _TuneCallback(self)

    def started(self, label: str) -> None:
        self._started[label] = time.monotonic()
        self._live.start_task(self._rows[label])
        self._live.update(self._rows[label], state="running")
        self._line(f"{label}: started")

    def advanced(self, label: str, steps: int, score: float) -> None:
        self._live.update(self._rows[label], completed=min(steps, self._steps[label]), score=f"{score:.3g}")
        tenth = 10 * steps // self._steps[label]
        if tenth > self._tenths[label]:
            self._tenths[label] = tenth
            elapsed = time.monotonic() - self._started.get(label, time.monotonic())
            left = elapsed * max(0, self._steps[label] - steps) / max(1, steps)
            self._line(f"{label}: {steps} of {self._steps[label]} steps, return {score:.3g}, {left:.0f} s left")

    def ended(self, label: str, state: str) -> None:
        self._running.discard(label)
        self._live.update(self._rows[label], state=state)
        self._line(f"{label}: {state}")

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            print(text, file=sys.stderr, flush=True)


class _TuneCallback(tune.Callback):
    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks beside its state; a terminal cannot be, and nobody resumes from there.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._display.started(trial.config["trial"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._display.advanced(trial.config["trial"], result["timesteps_total"], result["episode_return_mean"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._display.ended(trial.config["trial"], "done")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._display.ended(trial.config["trial"], "crashed, see its log")
