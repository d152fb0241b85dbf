"""The verdict of a study in one sentence, for the terminal, the report's first line and a pull request."""

from __future__ import annotations

import math
from collections.abc import Sequence

from parity.results.summary import (
    METRIC_WORDS,
    Learns,
    MetricComparison,
    Metrics,
    PooledSummary,
    PrimaryMetrics,
    SequentialStatus,
    Summary,
    TaskSummary,
    Verdict,
)
from parity.verdict.learning import LEAST_SEEDS


def sentence(summary: Summary) -> str:
    """One plain sentence: the verdict of each task and port, what is missing for one, and how many errors were found."""
    clauses = [*_together(summary.pooled), *_task_by_task(summary)] if summary.pooled else []
    clauses += [clause for task_id, task in summary.tasks.items() for clause in _task(task_id, task, summary)]
    errors = [finding.code for finding in summary.findings if finding.severity == "error"]
    if errors:
        clauses.append(f"{_count(len(errors), 'error finding')} ({', '.join(dict.fromkeys(errors))})")
    if summary.sequential is not None:
        clauses.append(_interim(summary.sequential, summary.verdict))
    return "; ".join(clauses) + "."


def _interim(sequential: SequentialStatus, verdict: Verdict) -> str:
    """Where a sequential study stands, and what stopping there saved."""
    at = f"interim analysis {sequential.look} of {len(sequential.looks)}, at {_count(sequential.seeds, 'seed')}"
    if verdict is Verdict.INVALID:
        return f"this was {at}"
    if not sequential.decided:
        last, more = sequential.looks[-1], sequential.looks[sequential.look] if not sequential.last else 0
        return f"{at}, leaves it open" + (
            f", the next is at {more}" if more else f": {last} seeds are all that was planned"
        )
    if not sequential.seeds_saved:
        return f"decided at {at}, the last"
    text = f"decided at {at} of at most {sequential.looks[-1]}, which saved {_count(sequential.trials_saved, 'trial')}"
    if sequential.seconds_saved:
        text += f", about {_minutes(sequential.seconds_saved)} of running time added up"
    return text


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else _count(round(seconds / 60), "minute")


def _together(pooled: PooledSummary) -> list[str]:
    """What pooling decided of each port. Where a port cannot be judged its task says why."""
    clauses = []
    for port, metrics in pooled.comparisons.items():
        verdict, together = pooled.verdicts[port], f"over {len(pooled.tasks)} tasks together"
        if verdict is Verdict.INCONCLUSIVE:
            clauses.append(f"{together} {_inconclusive(metrics, len(pooled.tasks))}")
        elif verdict is not Verdict.INVALID:
            clauses.append(f"{together} {port} is {_verdict(verdict, metrics)}")
    return clauses


def _task_by_task(summary: Summary) -> list[str]:
    """Of several tasks those on which there is nothing to tell apart: learned, and EQUIVALENT or undecided by themselves."""
    clauses = []
    for port in summary.pooled.comparisons if summary.pooled else ():
        plain = [task_id for task_id, task in summary.tasks.items() if _plain(task, port)]
        if plain:
            clauses.append(f"{port} learns {'every one' if len(plain) == len(summary.tasks) else ', '.join(plain)}")
        alone = [task_id for task_id in plain if summary.tasks[task_id].verdicts[port] is Verdict.EQUIVALENT]
        undecided = [
            f"{task_id}{_missing(task.comparisons[port], noun=' seeds')}"
            for task_id, task in summary.tasks.items()
            if task.verdicts[port] is Verdict.INCONCLUSIVE
        ]
        parts = [
            f"{what} on {', '.join(which)}"
            for what, which in (("EQUIVALENT", alone), ("undecided", undecided))
            if which
        ]
        if parts:
            clauses.append(f"task by task {port} is {', '.join(parts)}")
    return clauses


def _plain(task: TaskSummary, port: str) -> bool:
    learned = all(task.learns[name] is Learns.LEARNS for name in ("sb3", port))
    decided = task.verdicts[port] in (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)
    return learned and decided and task.verdict is not Verdict.INVALID


def _task(task_id: str, task: TaskSummary, summary: Summary) -> list[str]:
    failing = [
        _learning(framework, task_id, task)
        for framework in summary.frameworks
        if task.learns[framework] is Learns.DOES_NOT_LEARN
    ]
    if task.verdict is Verdict.INVALID:
        reason = task.reasons[0] if task.reasons else "no reason was stored"
        more = f" (and {_count(len(task.reasons) - 1, 'more reason')})" if len(task.reasons) > 1 else ""
        # SB3 not learning is then a reason by itself.
        return [
            f"{task_id} is INVALID: {reason}{more}",
            *(clause for clause in failing if not clause.startswith("sb3 ")),
        ]
    if not task.comparisons:
        return [
            f"{_learning(framework, task_id, task)}; nothing to compare it with" for framework in summary.frameworks
        ]
    clauses = []
    if "sb3" in task.learns and task.learns["sb3"] is not Learns.LEARNS:
        clauses.append(_learning("sb3", task_id, task))
    for port, metrics in task.comparisons.items():
        if summary.pooled and _plain(task, port):
            continue  # said of all such tasks together
        clauses.append(_learning(port, task_id, task))
        inconclusive = task.verdicts[port] is Verdict.INCONCLUSIVE
        # Of several tasks it is enough that they decide together.
        if not (inconclusive and (task.learns[port] is not Learns.LEARNS or summary.pooled)):
            clauses.append(_comparison(port, metrics, task))
    return clauses


def _learning(framework: str, task_id: str, task: TaskSummary) -> str:
    if task.learns[framework] is Learns.LEARNS:
        return f"{framework} learns {task_id}"
    answers = [trial.learned for trial in task.trials_of(framework)]
    learned = f"{sum(answer is True for answer in answers)} of {_count(len(answers), 'seed')} learned"
    scores = {name: _mean_final(name, task) for name in (framework, "sb3")}
    if not math.isnan(scores[framework]):
        learned += f", score {scores[framework]:.2f}"
        if framework != "sb3" and not math.isnan(scores["sb3"]):
            learned += f" where sb3 has {scores['sb3']:.2f}"
    if task.learns[framework] is Learns.DOES_NOT_LEARN:
        return f"{framework} does not learn {task_id} ({learned}){_watched(framework, task)}"
    if task.reference.full_score_return is None:
        return (
            f"whether {framework} learns {task_id} is UNDECIDED: no best return is known, and no sb3 run gives a scale"
        )
    least = f"; {LEAST_SEEDS} seeds are needed" if len(answers) < LEAST_SEEDS else ""
    return f"whether {framework} learns {task_id} is UNDECIDED ({learned}{least})"


def _watched(framework: str, task: TaskSummary) -> str:
    """Since when, and why, where watching the trials has seen it."""
    seen = [trial for trial in task.trials_of(framework) if trial.watched is not None]
    return f"; seen in training, seed {seen[0].seed}: {seen[0].watched}" if seen else ""


def _mean_final(framework: str, task: TaskSummary) -> float:
    finals = [trial.final for trial in task.trials_of(framework) if trial.final is not None]
    return sum(finals) / len(finals) if finals else math.nan


def _comparison(port: str, metrics: Metrics, task: TaskSummary) -> str:
    verdict = task.verdicts[port]
    if verdict is Verdict.INCONCLUSIVE:
        return _inconclusive(metrics)
    if verdict is not Verdict.WORSE:
        return f"it is {_verdict(verdict, metrics)}"
    collapses = [reason for reason in task.reasons if f" of {port} collapsed" in reason]
    told = "" if task.learns[port] is Learns.DOES_NOT_LEARN else _watched(port, task)
    return f"it is {_verdict(verdict, metrics, collapses)}{told}"


def _verdict(verdict: Verdict, metrics: PrimaryMetrics, more: Sequence[str] = ()) -> str:
    if verdict is Verdict.EQUIVALENT:
        return f"EQUIVALENT to sb3 within {metrics.final.margin:g} of the normalised score"
    shown = [_figures(name, metric) for name, metric in metrics.primary.items() if metric.verdict is verdict]
    return f"{verdict} than sb3: {', '.join([*shown, *more])}"


def _inconclusive(metrics: PrimaryMetrics, tasks: int = 1) -> str:
    open_metrics = [metric for metric in metrics.primary.values() if metric.verdict is Verdict.INCONCLUSIVE]
    if all(metric.interval is None and metric.difference is None for metric in open_metrics):
        return "there is nothing to compare with" if tasks > 1 else "nothing to compare it with"
    return f"{_count(_seeds(open_metrics) // tasks, 'seed')} cannot decide equivalence{_missing(metrics, tasks)}"


def _missing(metrics: PrimaryMetrics, tasks: int = 1, noun: str = "") -> str:
    """`` (6 more needed)``: seeds per framework and task; empty where too few runs tell nothing of how many."""
    open_metrics = [metric for metric in metrics.primary.values() if metric.verdict is Verdict.INCONCLUSIVE]
    if any(metric.interval is None for metric in open_metrics):
        return ""
    needed = [metric.seeds_needed for metric in open_metrics if metric.seeds_needed is not None]
    if len(needed) < len(open_metrics):
        return f" (no affordable number{noun and ' of'}{noun} would decide)"
    return f" ({max(needed) - _seeds(open_metrics) // tasks} more{noun} needed)"


def _seeds(metrics: Sequence[MetricComparison]) -> int:
    return min(min(metric.runs.values()) for metric in metrics)


def _figures(name: str, metric: MetricComparison) -> str:
    assert metric.difference is not None and metric.interval is not None and metric.confidence is not None
    low, high = metric.interval
    interval = f"{100 * metric.confidence:.3g} % interval {low:+.2f} to {high:+.2f}"
    return f"{METRIC_WORDS[name]} {metric.difference:+.2f} ({interval})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
