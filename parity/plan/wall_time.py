"""How long a study takes on this machine: seconds per trial as measured, with as many trials at a time as it has cores."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from statistics import median

from parity.results.plan import Machine, Time
from parity.results.study import StudyRecord
from parity.system import machine
from parity.task.task_table import measured

# Seconds from the start of a trial to its first step, and from the command to the first trial: results/single-agent, 24 trials.
TRIAL_STARTS_S = 6.0
STUDY_STARTS_S = 25.0

# (task, framework) -> seconds of one trial, and the machine that they were measured on.
Seconds = Mapping[tuple[str, str], float]


def from_measured(tasks: Sequence[str]) -> tuple[Seconds, list[str]]:
    """Seconds of built-in tasks that were measured, and the machines."""
    known = {task: entry for task in tasks if (entry := measured().get(task))}
    seconds = {(task, name): each for task, entry in known.items() for name, each in entry["seconds"].items()}
    return seconds, sorted({entry["machine"] for entry in known.values()})


def from_study(study: StudyRecord) -> tuple[Seconds, list[str]]:
    """Medians over the finished trials of a study, and its machine."""
    walls: dict[tuple[str, str], list[float]] = {}
    for trial in study.trials:
        if trial.meta is not None and trial.meta.status == "done":
            walls.setdefault((trial.task, trial.framework), []).append(trial.meta.wall_s)
    return {key: median(each) for key, each in walls.items()}, [machine.words(study.file.machine)]


def of_study(tasks: Sequence[str], frameworks: Sequence[str], seeds: int, seconds: Seconds) -> Time:
    """Trials start in the order of ``parity run``, each where a core is free, as on a local Ray."""
    unmeasured = [f"{task} with {name}" for task in tasks for name in frameworks if (task, name) not in seconds]
    trials = len(tasks) * len(frameworks) * seeds
    if unmeasured:
        return Time(seconds=None, trials=trials, unmeasured=unmeasured)
    free = [0.0] * machine.cores()
    for task in tasks:
        for _ in range(seeds):
            for name in frameworks:
                heapq.heappush(free, heapq.heappop(free) + TRIAL_STARTS_S + seconds[task, name])
    return Time(seconds=STUDY_STARTS_S + max(free), trials=trials)


def this_machine(measured_on: list[str]) -> Machine:
    this = machine.words(machine.describe(None))
    return Machine(this=this, measured_on=measured_on, same=measured_on == [this], side_by_side=machine.cores())
