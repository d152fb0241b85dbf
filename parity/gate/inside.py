"""What has to hold inside the study, as claims: the rules of ``parity.verdict.judge.exit_code``, one claim each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from parity.results.gate import Claim, Status
from parity.results.summary import Learns, PooledSummary, Summary, TaskSummary, Verdict
from parity.verdict.runs import SB3
from parity.verdict.statistics import not_worse

# {task: {framework: did it learn when the baseline was accepted}}
Learnt = Mapping[str, Mapping[str, Learns]]


def inside(summary: Summary, require: Collection[str], learnt: Learnt) -> list[Claim]:
    """Claims on validity, learning, masks, findings, and every port against SB3. A rung of the ladder has its own claim."""
    claims: list[Claim] = []
    for name, task in summary.tasks.items():
        claims += _valid(name, task)
        claims += _learns(name, task, learnt.get(name, {}))
        claims += _masks(name, task)
        claims += _comparisons(name, task, () if summary.pooled else require)
    if summary.pooled is not None:
        claims += _pooled(summary.pooled, require)
    return claims + list(_findings(summary))


def _valid(name: str, task: TaskSummary) -> Iterator[Claim]:
    invalid = task.verdict is Verdict.INVALID
    reasons = task.reasons or ["no reason was stored"]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    yield Claim(
        id=f"{name}.valid",
        kind="valid",
        status="fail" if invalid else "pass",
        message=f"{name} is INVALID: {reasons[0]}{more}" if invalid else f"{name} can be judged",
        task=name,
        waivable=False,
    )
    for framework in task.learns:
        trials = [trial for trial in task.trials if trial.framework == framework]
        broken = [trial for trial in trials if trial.reason is not None]
        if not broken:
            message = f"all {len(trials)} trials of {framework} on {name} are complete"
            yield Claim(
                id=f"{name}.{framework}.trials",
                kind="trial",
                status="pass",
                message=message,
                task=name,
                framework=framework,
                waivable=False,
            )
        for trial in broken:
            yield Claim(
                id=f"{name}.{framework}.trials.{trial.seed}",
                kind="trial",
                status="fail",
                message=f"{framework} seed {trial.seed} on {name} {trial.reason}",
                task=name,
                framework=framework,
                waivable=False,
            )


def _learns(name: str, task: TaskSummary, learnt: Mapping[str, Learns]) -> Iterator[Claim]:
    for framework, learns in task.learns.items():
        trials = [trial for trial in task.trials if trial.framework == framework]
        seeds = f"{sum(trial.learned is True for trial in trials)} of {len(trials)} seeds learned"
        before = ", where it learned in the baseline" if learnt.get(framework) is Learns.LEARNS else ""
        words: dict[Learns, tuple[Status, str]] = {
            Learns.LEARNS: ("pass", f"{framework} learns {name}: {seeds}"),
            Learns.DOES_NOT_LEARN: ("fail", f"{framework} does not learn {name}{before}: {seeds}"),
            Learns.UNDECIDED: ("undecided", f"whether {framework} learns {name} is UNDECIDED{before}: {seeds}"),
        }
        status, message = words[learns]
        yield Claim(
            id=f"{name}.{framework}.learns",
            kind="learns",
            status=status,
            message=message,
            task=name,
            framework=framework,
            # Without a reference that learns there is no study.
            waivable=framework != SB3,
            cases=[f"{name}.learns {framework} learns"],
        )


def _masks(name: str, task: TaskSummary) -> Iterator[Claim]:
    for framework, masks in task.masks.items():
        broken = masks.violations or masks.empty or not masks.decisions
        counts = f"{masks.violations} illegal actions and {masks.empty} empty masks in {masks.decisions} decisions"
        yield Claim(
            id=f"{name}.{framework}.masks",
            kind="masks",
            status="fail" if broken else "pass",
            message=f"{framework} on {name}: {counts}",
            task=name,
            framework=framework,
            waivable=False,
        )


def _comparisons(name: str, task: TaskSummary, require: Collection[str]) -> Iterator[Claim]:
    if not task.comparisons:
        needed = bool({"equivalent", "not-worse"} & set(require))
        yield Claim(
            id=f"{name}.comparison",
            kind="comparison",
            status="undecided" if needed else "open",
            message=f"{name} has no port beside sb3: there is nothing to compare inside the study",
            task=name,
        )
    for port in task.comparisons:
        status, words = _against_sb3(task, port, require)
        yield Claim(
            id=f"{name}.{port}.comparison",
            kind="comparison",
            status=status,
            message=f"{port} against sb3 on {name}: {words}",
            task=name,
            framework=port,
            cases=[f"{name}.equivalence {port} {case}" for case in ("final", "auc", "verdict")],
        )


def _pooled(pooled: PooledSummary, require: Collection[str]) -> Iterator[Claim]:
    for port in pooled.comparisons:
        status, words = _against_sb3(pooled, port, require)
        yield Claim(
            id=f"pooled.{port}.comparison",
            kind="comparison",
            status=status,
            message=f"{port} against sb3 over {len(pooled.tasks)} tasks together: {words}",
            framework=port,
            cases=[f"pooled.equivalence {port} {case}" for case in ("final", "auc")],
        )


def _against_sb3(part: TaskSummary | PooledSummary, port: str, require: Collection[str]) -> tuple[Status, str]:
    verdict, metrics = part.verdicts[port], part.comparisons[port].primary
    words = ", ".join(
        f"{name} {metric.difference:+.2f}"
        + (f" ({metric.interval[0]:+.2f} to {metric.interval[1]:+.2f})" if metric.interval else "")
        for name, metric in metrics.items()
        if metric.difference is not None
    )
    message = f"{verdict}{': ' + words if words else ''}"
    if verdict is Verdict.INVALID:
        return "not_compared", "INVALID"
    if verdict is Verdict.WORSE:
        return "fail", message
    holds = {
        "equivalent": verdict is not Verdict.INCONCLUSIVE,
        "not-worse": all(
            metric.interval is not None
            and metric.margin is not None
            and bool(not_worse(metric.interval[0], metric.margin))
            for metric in metrics.values()
        ),
    }
    missing = [name for name, held in holds.items() if name in require and not held]
    if missing:
        return "undecided", f"{message}; required: {' and '.join(missing)}"
    return "open" if verdict is Verdict.INCONCLUSIVE else "pass", message


def _findings(summary: Summary) -> Iterator[Claim]:
    """One claim for every error finding of a code on one side; without any there is nothing to claim."""
    errors = [finding for finding in summary.findings if finding.severity == "error"]
    for task, framework, code in dict.fromkeys((f.task, f.framework, f.code) for f in errors):
        found = [f for f in errors if (f.task, f.framework, f.code) == (task, framework, code)]
        side = ".".join(filter(None, [task or "study", framework]))
        yield Claim(
            id=f"{side}.finding.{code}",
            kind="finding",
            status="fail",
            message=f"{code} {found[0].title} [{framework or 'study'} on {task or 'all tasks'}]",
            task=task,
            framework=framework,
            cases=[f"findings {f.code} {f.framework or ''} {f.where or ''}".strip() for f in found],
        )
