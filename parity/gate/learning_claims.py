"""Every framework against its own baseline, as claims: each metric on each task, and over all tasks together."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from parity.gate.changes import Tasks, claim, in_both
from parity.gate.learning import Runs, figures, is_not_worse, judge_family, judge_pooled, words
from parity.results.baseline import FrameworkBaseline, TaskBaseline
from parity.results.gate import Claim, Status
from parity.results.summary import METRIC_WORDS, MetricComparison, Summary, Verdict
from parity.verdict.task_runs import Scale


def learning_claims(
    baseline: Tasks, study: Tasks, summary: Summary, comparable: Collection[str], require: Collection[str]
) -> Iterator[Claim]:
    family: dict[tuple[str, str, str], Runs] = {}
    for name, framework, then, now in in_both(baseline, study):
        reason = None
        if name not in comparable:
            reason = f"{name} is another task since the baseline"
        elif any(trial.reason is not None for trial in summary.tasks[name].trials_of(framework)):
            reason = "it has trials that cannot be judged"
        if reason is not None:
            message = f"{framework} on {name} is not compared with its baseline: {reason}"
            yield claim(name, framework, "learning", "not_compared", message)
            continue
        for metric in METRIC_WORDS:
            family[name, framework, metric] = _runs(baseline[name], then, now, metric)
    # The runs of a framework and metric on all tasks, where there are several.
    together: dict[tuple[str, str], list[Runs]] = {}
    for (_, framework, metric), runs in family.items():
        together.setdefault((framework, metric), []).append(runs)
    together = {key: tasks for key, tasks in together.items() if len(tasks) > 1}
    for (name, framework, metric), change in zip(family, judge_family(family.values()), strict=True):
        # Of several tasks it is required of all together, as inside the study.
        required = () if (framework, metric) in together else require
        yield _claim(name, framework, metric, change, required, f"on {name}")
    for (framework, metric), change in zip(together, judge_pooled(list(together.values())), strict=True):
        tasks = f"over {len(together[framework, metric])} tasks together"
        yield _claim(None, framework, metric, change, require, tasks)


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


def _claim(
    task: str | None, framework: str, metric: str, change: MetricComparison, require: Collection[str], where: str
) -> Claim:
    decided = change.verdict is not Verdict.INCONCLUSIVE
    status: Status = "fail" if change.verdict is Verdict.WORSE else "pass" if decided else "open"
    holds = {"equivalent": decided, "not-worse": is_not_worse(change)}
    missing = [word for word, held in holds.items() if word in require and not held]
    required = ""
    if missing and status != "fail":
        status, required = "undecided", f"; required: {' and '.join(missing)}"
    said = f"{METRIC_WORDS[metric]}: {change.verdict}, {words(change)}{required}"
    message = f"{framework} {where} against its own baseline, {said}"
    return claim(task, framework, f"learning.{metric}", status, message, figures=figures(change))
