"""The standard deviation of a run's score within one framework: of stored runs, of measured tasks, or assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from parity.errors import CannotStart
from parity.results.plan import Deviation
from parity.results.study import StudyRecord
from parity.results.summary import PRIMARY
from parity.task.task_table import measured
from parity.verdict.task_runs import TaskRuns

# More than any built-in task but cartpole has: a plan should ask for too many seeds rather than too few.
ASSUMED = 0.14


def of_runs(runs: TaskRuns) -> tuple[dict[str, float], int]:
    """Root mean square over frameworks of the deviation within each, by primary metric, and the runs behind it.

    Weighted by degrees of freedom. NaN where no framework has two runs with a score.
    """
    deviations = {}
    for metric in PRIMARY:
        arms = [scores for name in runs.frameworks if len(scores := runs.scores(name, metric)) > 1]
        freedom = [len(arm) - 1 for arm in arms]
        deviations[metric] = (
            math.sqrt(np.average([np.var(arm, ddof=1) for arm in arms], weights=freedom)) if arms else math.nan
        )
    counted = sum(len(scores) for name in runs.frameworks if len(scores := runs.scores(name, PRIMARY[0])) > 1)
    return deviations, counted


def from_study(study: StudyRecord, tasks: Sequence[str]) -> list[Deviation]:
    """Of a study's ``tasks``.

    Raises:
        CannotStart: the study has not run a task, or has fewer than two finished runs of every framework on it.
    """
    deviations = []
    for task in tasks:
        if task not in study.file.tasks:
            known = ", ".join(study.file.tasks)
            raise CannotStart(f"--from {study.file.study}: it has no task {task}; it has {known}.")
        of_task, runs = of_runs(TaskRuns.of(study, task))
        if not all(map(math.isfinite, of_task.values())):
            raise CannotStart(
                f"--from {study.file.study}: no framework has two finished runs of {task}, so nothing says how much runs "
                "vary; give --sd."
            )
        deviations.append(Deviation(task=task, **of_task, runs=runs, source=f"study {study.file.study}"))
    return deviations


def from_measured(tasks: Sequence[str]) -> list[Deviation]:
    """Of built-in tasks, as ``envs/measured.json`` has them, else ``ASSUMED``."""
    deviations = []
    for task in tasks:
        known = measured().get(task, {})
        if "deviation" in known:
            deviations.append(Deviation(task=task, **known["deviation"], source=f"measured in study {known['study']}"))
        else:
            deviations.append(assumed(task))
    return deviations


def of_both_metrics(sd: float, task: str | None, source: str) -> Deviation:
    """The same for both primary metrics, where no runs tell them apart."""
    return Deviation(task=task, final=sd, auc=sd, runs=0, source=source)


def assumed(task: str | None) -> Deviation:
    return of_both_metrics(ASSUMED, task, "assumed; nobody has measured it: give --sd, or --from a study")


def pooled(deviations: Sequence[Deviation]) -> float:
    """The deviation that a pooled test of these tasks has: root mean square over tasks, of the noisier primary metric."""
    return max(math.sqrt(np.mean([getattr(deviation, metric) ** 2 for deviation in deviations])) for metric in PRIMARY)
