"""The baseline: a JSON file in the repository, reviewed like code, with the raw values of every accepted run.

Raw values and not verdicts: another test can be applied to them later. No paths and no host names are in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from parity.errors import CannotStart
from parity.gate.bench import Bench
from parity.gate.circumstances import configuration_of
from parity.results.reading import read_strictly
from parity.results.study import StudyRecord, TaskRecord
from parity.results.summary import Finding, Learns, MaskCounts, Number, RungStatus, Summary
from parity.verdict.observed import env_steps_per_s
from parity.verdict.runs import TaskRuns

BASELINE_FILE = "parity-baseline.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class RunBaseline(_Strict):
    """One run: ``final`` and ``auc`` in the environment's returns, ``env_steps_per_s`` without evaluation."""

    seed: int
    final: Number
    auc: Number
    learned: bool | None = None
    env_steps_per_s: Number | None = None


class RungBaseline(_Strict):
    """``tolerance_needed`` is in units of the tolerance: above 1 it does not hold."""

    status: RungStatus
    tolerance_needed: Number | None = None


class FrameworkBaseline(_Strict):
    """What one framework did on one task. ``configuration`` is its effective one, flat, by name."""

    learns: Learns
    runs: list[RunBaseline]
    masks: MaskCounts
    ladder: dict[str, RungBaseline] = {}
    findings: list[str] = []
    configuration: dict[str, Any] = {}


class Definition(_Strict):
    """What makes a task the same task; where any of it changes, scores are no longer comparable."""

    steps: int
    eval_every: int
    eval_episodes: int
    margin: float
    mask: str | None = None
    learning_agent: str | None = None
    uniform_legal: Number
    best: Number | None = None
    ppo: dict[str, Any]


class TaskBaseline(_Strict):
    """``score_one`` is the return that scored 1 in the accepted study: ``best``, or the mean of its SB3 runs."""

    definition: Definition
    score_one: Number
    frameworks: dict[str, FrameworkBaseline]
    bench: Bench | None = None


class Acceptance(_Strict):
    """Who made which study the baseline, when and why."""

    accepted: str
    by: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    study: str
    created: str
    commit: str | None = None
    dirty: bool | None = None


class Baseline(_Strict):
    """The whole of ``parity-baseline.json``. ``history`` has the earlier acceptances, oldest first."""

    schema_version: Literal[1] = 1
    acceptance: Acceptance
    versions: dict[str, str]
    machine: dict[str, Any]
    tasks: dict[str, TaskBaseline] = Field(min_length=1)
    history: list[Acceptance] = []

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Baseline:
    """A baseline from its file.

    Raises:
        CannotStart: it is missing or no baseline; the sentence names file, field and remedy.
    """
    if not path.is_file():
        raise CannotStart(
            f'--baseline {path}: there is no such file; `parity baseline accept --reason "..."` makes it.'
        )
    return read_strictly(path, Baseline, "restore it from the repository, or accept a baseline anew")


def definition_of(record: TaskRecord) -> Definition:
    return Definition(
        steps=record.steps,
        eval_every=record.eval_every,
        eval_episodes=record.eval_episodes,
        margin=record.margin,
        mask=record.mask,
        learning_agent=record.learning_agent,
        uniform_legal=record.reference.uniform_legal,
        best=record.reference.best,
        ppo=dict(record.ppo),
    )


def tasks_of(study: StudyRecord, summary: Summary, bench: Mapping[str, Bench] | None = None) -> dict[str, TaskBaseline]:
    """What a baseline keeps of a judged study, task by task."""
    return {task: _task(study, summary, task, (bench or {}).get(task)) for task in study.file.request.tasks}


def _task(study: StudyRecord, summary: Summary, task: str, bench: Bench | None) -> TaskBaseline:
    runs, judged = TaskRuns.of(study, task), summary.tasks[task]
    record = study.file.tasks[task]
    learned = {(trial.framework, trial.seed): trial.learned for trial in judged.trials}
    return TaskBaseline(
        definition=definition_of(record),
        score_one=runs.scale.one,
        bench=bench,
        frameworks={
            framework: FrameworkBaseline(
                learns=judged.learns[framework],
                runs=[
                    RunBaseline(
                        seed=run.seed,
                        final=run.final,
                        auc=run.auc,
                        learned=learned.get((framework, run.seed)),
                        env_steps_per_s=env_steps_per_s(run.curve),
                    )
                    for run in runs.of_framework(framework)
                    if run.curve is not None
                ],
                masks=MaskCounts(
                    **{name: getattr(judged.masks[framework], name) for name in ("decisions", "violations", "empty")}
                ),
                ladder={
                    name: RungBaseline(status=rung.status, tolerance_needed=rung.tolerance_needed)
                    for name, rung in judged.ladder.get(framework, {}).items()
                },
                findings=error_codes(summary.findings, task, framework),
                configuration=configuration_of(record, framework),
            )
            for framework in runs.frameworks
        },
    )


def error_codes(findings: list[Finding], task: str, framework: str) -> list[str]:
    """Codes of the error findings on a framework's side of a task, each once."""
    found = [f.code for f in findings if f.severity == "error" and (f.task, f.framework) == (task, framework)]
    return list(dict.fromkeys(found))
