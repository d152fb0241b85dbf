"""Every framework against its own baseline, as claims: each metric on each task, and over all tasks together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from parity.gate.baseline import FrameworkBaseline, TaskBaseline
from parity.gate.definition import Tasks, both
from parity.gate.learning import Change, Runs, judge_family, judge_pooled
from parity.results.gate import Claim, Status
from parity.results.summary import Summary, Verdict
from parity.verdict.runs import Scale

METRICS = {"final": "final score", "auc": "area under the curve"}


def learning(
    baseline: Tasks, study: Tasks, summary: Summary, comparable: Collection[str], require: Collection[str]
) -> Iterator[Claim]:
    family: dict[tuple[str, str, str], Runs] = {}
    for name, framework, then, now in both(baseline, study):
        if name not in comparable:
            yield _not_compared(name, framework, f"{name} is another task since the baseline")
        elif any(t.reason is not None for t in summary.tasks[name].trials if t.framework == framework):
            yield _not_compared(name, framework, "it has trials that cannot be judged")
        else:
            for metric in METRICS:
                family[name, framework, metric] = _runs(baseline[name], then, now, metric)
    judged = dict(zip(family, judge_family(family.values()), strict=True))
    together = _together(family)
    pooled = dict(zip(together, judge_pooled(list(together.values())), strict=True))
    for (name, framework, metric), change in judged.items():
        # Of several tasks it is required of all together, as inside the study.
        required = () if (framework, metric) in pooled else require
        yield _learning_claim(name, framework, metric, change, required, f"on {name}")
    for (framework, metric), change in pooled.items():
        tasks = f"over {len(together[framework, metric])} tasks together"
        yield _learning_claim("pooled", framework, metric, change, require, tasks)


def _together(family: Mapping[tuple[str, str, str], Runs]) -> dict[tuple[str, str], list[Runs]]:
    """The runs of a framework and metric on all tasks, where there are several."""
    found: dict[tuple[str, str], list[Runs]] = {}
    for (_, framework, metric), runs in family.items():
        found.setdefault((framework, metric), []).append(runs)
    return {key: tasks for key, tasks in found.items() if len(tasks) > 1}


def _runs(task: TaskBaseline, then: FrameworkBaseline, now: FrameworkBaseline, metric: str) -> Runs:
    scale = Scale(task.definition.uniform_legal, task.score_one)
    by_seed = [{run.seed: (run.final, run.auc) for run in side.runs} for side in (then, now)]
    return Runs(
        baseline=[scale.score(getattr(run, metric)) for run in then.runs],
        study=[scale.score(getattr(run, metric)) for run in now.runs],
        margin=task.definition.margin,
        same=by_seed[0] == by_seed[1],
        collapses=metric == "final",
    )


def _learning_claim(
    name: str, framework: str, metric: str, change: Change, require: Collection[str], where: str
) -> Claim:
    status: Status = "open" if change.verdict is Verdict.INCONCLUSIVE else "pass"
    required = ""
    if change.verdict is Verdict.WORSE:
        status = "fail"
    else:
        missing = [
            word
            for word, held in (("equivalent", status == "pass"), ("not-worse", change.not_worse))
            if word in require and not held
        ]
        if missing:
            status, required = "undecided", f"; required: {' and '.join(missing)}"
    return Claim(
        id=f"{name}.{framework}.learning.{metric}",
        kind="learning",
        status=status,
        message=f"{framework} {where} against its own baseline, {METRICS[metric]}: {change.verdict}, {change.words}{required}",
        task=None if name == "pooled" else name,
        framework=framework,
        figures=change.figures,
    )


def _not_compared(name: str, framework: str, reason: str) -> Claim:
    return Claim(
        id=f"{name}.{framework}.learning",
        kind="learning",
        status="not_compared",
        message=f"{framework} on {name} is not compared with its baseline: {reason}",
        task=name,
        framework=framework,
    )
