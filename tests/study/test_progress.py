"""What `parity run` shows while trials run: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parity.study import progress as progress_module
from parity.study.progress import CRASHED, LAST_RETURN, ProgressDisplay, progress_writer, read_progress
from parity.study.trial import TrialSpec

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TOTAL = 1_000


def specs(folder: Path, number: int) -> list[TrialSpec]:
    made = []
    for seed in range(number):
        at = folder / str(seed)
        at.mkdir(parents=True)
        made.append(TrialSpec(None, "[maze]", "rllib", seed, TOTAL, "cpu", 1, str(at)))  # type: ignore[arg-type]
    return made


def trial(spec: TrialSpec, **result: Any) -> Any:
    return SimpleNamespace(config={"trial": spec.label}, last_result=result)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Seconds pass when the test says so."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: now.s, perf_counter=lambda: now.s))
    return now


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, lines: int = 24) -> Iterator[list[str]]:
    """A pseudo-terminal as stderr; what it shows, without colours and movements, is in the list at the end."""
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("LINES", str(lines))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    parts: list[bytes] = []
    shown: list[str] = []

    def read() -> None:
        try:
            while part := os.read(ours, 65_536):
                parts.append(part)
        except OSError:  # Linux says so that the other side is closed
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        yield shown
    reader.join(30)
    os.close(ours)
    shown.append(ESCAPE.sub("", b"".join(parts).decode("utf-8")))


def course(display: ProgressDisplay, trials: list[TrialSpec], clock: SimpleNamespace) -> None:
    """The first trial has half of its steps, at 50 a second, and ends; the second crashes; others wait."""
    with display:
        first, second = trials[:2]
        display.on_trial_start(0, [], trial(first))
        write = progress_writer(Path(first.folder))
        write(0, 1.5)
        clock.s += 10
        write(500, 2.25)
        display.on_step_end(0, [])
        display._live.refresh()
        display.on_trial_complete(0, [], trial(first, **{LAST_RETURN: 3.125}))
        display.on_trial_start(0, [], trial(second))
        display.on_trial_complete(0, [], trial(second, **{CRASHED: "it raised"}))


def test_a_terminal_shows_steps_return_speed_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    trials = specs(tmp_path, 3)
    with terminal(monkeypatch) as shown:
        course(ProgressDisplay(trials), trials, clock)
    rows = [re.sub(r"[\s━╸╺]+", " ", line).strip() for line in shown[0].splitlines()]
    assert "trial steps return steps/s left" in rows
    assert "[maze]/rllib/0 500 of 1,000 2.25 50 0:10 running" in rows
    assert "1 running, 2 waiting; about 0:50 left" in rows  # 500 steps of its own, 2,000 of those that wait
    assert "[maze]/rllib/0 1,000 of 1,000 3.12 50 done" in rows
    assert "[maze]/rllib/1 0 of 1,000 - - crashed, see its log" in rows
    assert "1 done, 1 failed, 1 waiting" in rows


def test_more_trials_than_lines_are_counted_and_those_that_run_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    trials = specs(tmp_path, 50)
    with terminal(monkeypatch, lines=12) as shown:
        display = ProgressDisplay(trials)
        with display:
            display.on_trial_start(0, [], trial(trials[40]))
            display._live.refresh()
    last = shown[0].split("trial ")[-1]
    assert "[maze]/rllib/40 " in last and "1 running, 49 waiting" in last
    assert len(last.splitlines()) <= 12


def test_elsewhere_there_are_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
    trials = specs(tmp_path, 2)
    course(ProgressDisplay(trials), trials, clock)
    assert capsys.readouterr().err.splitlines() == [
        "[maze]/rllib/0: started",
        "[maze]/rllib/0: 500 of 1000 steps, return 2.25, 10 s left",
        "[maze]/rllib/0: done",
        "[maze]/rllib/1: started",
        "[maze]/rllib/1: crashed, see its log",
    ]


def test_a_trial_that_goes_on_is_not_taken_for_a_fast_one(tmp_path: Path, clock: SimpleNamespace) -> None:
    write = progress_writer(tmp_path)
    write(800, 1.0)
    clock.s += 10
    write(900, 1.0)
    found = read_progress(tmp_path)
    assert found is not None and found.steps_per_s == 10
