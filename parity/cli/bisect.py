"""``parity bisect``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import Json, Out, Positive, default_task
from parity.system.options import DEFAULT_OUT


def bisect(
    *,
    task: str | None = None,
    train: Positive = None,
    climb: Annotated[bool, Parameter(negative="")] = False,
    workers: Positive = None,
    out: Out = DEFAULT_OUT,
    json: Json = False,
) -> int:
    """Exchange the parts of a port with the reference port's one by one, and name those that break.

    Parameters
    ----------
    task
        Built-in id, file.py, file.py:name or package.module:name. Default: what parity.toml in the current folder says,
        else tiles.
    train
        Train what the ladder names, or the whole port where it is silent, for so many environment steps from two seeds beside
        the reference port, and say which part keeps it from learning: an indication, no verdict. Default: no training.
    climb
        Instead, climb from the simplest probe over a toy and simpler forms of the task to the whole port, and stop at the
        first step that breaks.
    workers
        Processes side by side. Default: one per core, at most two.
    out
        Folder for what reproduces it: bisect-TASK with a task file per part. Default: results.
    json
        Print one document with culprits and everything that was tried on stdout, and nothing else there.
    """
    from parity.bisect.command import run_bisect

    if task is None:
        task = default_task("parity bisect")
    return run_bisect(task, out, workers, climb, train, json)
