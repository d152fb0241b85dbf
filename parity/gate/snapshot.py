"""What a baseline keeps of a judged study. The gate brings both studies into this form before it compares them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.errors import CannotStart
from parity.results.baseline import Definition, FrameworkBaseline, RunBaseline, RungBaseline, TaskBaseline
from parity.results.bench import BENCH_FILE, BenchFile, TaskRounds, load_bench_file
from parity.results.study import StudyRecord, TaskRecord
from parity.results.summary import MaskCounts, Summary
from parity.verdict.task_runs import TaskRuns
from parity.verdict.trial_totals import env_steps_per_s

# Figures for speed belong to these.
MACHINE_FIELDS = ("cpu", "cores", "memory_gb", "gpu", "os")


def versions_of(study: StudyRecord) -> dict[str, str]:
    """Versions of packages and of Python, and that of the study's own schema."""
    python = study.file.machine.get("python")
    return {
        **study.file.versions,
        "parity": study.file.parity_version,
        **({"python": str(python)} if python else {}),
        "study schema": str(study.file.schema_version),
    }


def machine_of(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {name: machine.get(name) for name in MACHINE_FIELDS}


def tasks_of(
    study: StudyRecord, summary: Summary, bench: Mapping[str, TaskRounds] | None = None
) -> dict[str, TaskBaseline]:
    """What is kept task by task; ``bench`` has the rounds of ``parity bench`` by task."""
    tasks = {}
    for task in study.file.request.tasks:
        runs, record = TaskRuns.of(study, task), study.file.tasks[task]
        tasks[task] = TaskBaseline(
            definition=_definition(record),
            score_one=runs.scale.one,
            bench=(bench or {}).get(task),
            frameworks={framework: _framework(runs, record, summary, framework) for framework in runs.frameworks},
        )
    return tasks


def _definition(record: TaskRecord) -> Definition:
    same_name = ("steps", "eval_every", "eval_episodes", "margin", "mask", "learning_agent", "ppo")
    return Definition(
        **{name: getattr(record, name) for name in same_name},
        uniform_legal=record.reference.uniform_legal,
        best=record.reference.best,
    )


def _framework(runs: TaskRuns, record: TaskRecord, summary: Summary, framework: str) -> FrameworkBaseline:
    judged = summary.tasks[runs.task]
    learned = {trial.seed: trial.learned for trial in judged.trials if trial.framework == framework}
    masks = judged.masks[framework]
    errors = [
        finding.code
        for finding in summary.findings
        if finding.severity == "error" and (finding.task, finding.framework) == (runs.task, framework)
    ]
    return FrameworkBaseline(
        learns=judged.learns[framework],
        runs=[
            RunBaseline(
                seed=run.seed,
                final=run.final,
                auc=run.auc,
                learned=learned.get(run.seed),
                env_steps_per_s=env_steps_per_s(run.curve),
            )
            for run in runs.of_framework(framework)
            if run.curve is not None
        ],
        masks=MaskCounts(decisions=masks.decisions, violations=masks.violations, empty=masks.empty),
        ladder={
            name: RungBaseline(status=rung.status, tolerance_needed=rung.tolerance_needed)
            for name, rung in judged.ladder.get(framework, {}).items()
        },
        findings=list(dict.fromkeys(errors)),
        configuration=_configuration(record, framework),
    )


def _configuration(record: TaskRecord, framework: str) -> dict[str, Any]:
    """Hyperparameters by ``PPOParams``' names, the framework's own fields as ``native.<name>``, and where it runs."""
    config = record.frameworks[framework]
    return {
        **config.hyperparameters,
        **{f"native.{name}": value for name, value in config.native.items()},
        **{f"device of {component}": device for component, device in config.devices.items()},
        "torch threads": config.threads,
        "processes": config.processes,
    }


def load_rounds(study: Path) -> dict[str, TaskRounds]:
    """The rounds in ``bench.json`` of a study, by task; empty where there is no such file.

    Raises:
        CannotStart: it cannot be read, or was not measured to its end.
    """
    path = study / BENCH_FILE
    if not path.is_file():
        return {}
    file = load_bench_file(path)
    if file.reason is not None:
        raise CannotStart(
            f"{path}: reason: {file.reason}; finish it with `parity bench --resume {study}`, or delete it."
        )
    return {task: _rounds(file, task) for task in file.request.tasks}


def _rounds(file: BenchFile, task: str) -> TaskRounds:
    """Rounds in which a framework is missing are left out, so that the others stay pairs."""
    rates: dict[str, dict[int, float]] = {name: {} for name in file.request.frameworks}
    for measured in file.measured:
        if measured.task == task and measured.framework in rates:
            rates[measured.framework][measured.round] = measured.env_steps_per_s
    complete = sorted(set.intersection(*(set(by_round) for by_round in rates.values())))
    return TaskRounds(
        rounds={name: [by_round[number] for number in complete] for name, by_round in rates.items()},
        asked={name: getattr(file.request, name) for name in ("iterations", "warmup", "device", "threads")},
        machine=machine_of(file.machine),
    )
