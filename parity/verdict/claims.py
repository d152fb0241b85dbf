"""Everything that a judged study claims, in one list.

The exit code of a study, the claims of ``parity gate`` about the study itself and the test cases of ``junit.xml`` are made
from this list, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from parity.errors import ExitCode
from parity.results.gate import Claim, Status
from parity.results.summary import (
    SB3,
    Finding,
    Learns,
    MetricComparison,
    PooledSummary,
    RungStatus,
    Summary,
    TaskSummary,
    Verdict,
)
from parity.verdict.statistics import not_worse

Kind = Literal["valid", "trial", "learns", "masks", "metric", "comparison", "rung", "finding"]

# Suite and name of a claim's test case in junit.xml, see ``StudyClaim.case``.
_CASES: dict[Kind, tuple[str, str]] = {
    "learns": ("learns", "{framework} learns"),
    "metric": ("equivalence", "{framework} {name}"),
    "comparison": ("equivalence", "{framework} verdict"),
    "masks": ("masks", "{framework} masks"),
    "rung": ("ladder", "{framework} {name}"),
    "trial": ("trials", "{framework} seed {name}"),
}
_LEARNS: dict[Learns, Status] = {
    Learns.LEARNS: "pass",
    Learns.DOES_NOT_LEARN: "fail",
    Learns.UNDECIDED: "undecided",
}
_RUNGS: dict[RungStatus, Status] = {"fail": "fail", "invalid": "fail", "not_applicable": "not_compared"}


@dataclass(frozen=True)
class StudyClaim:
    """One claim, and whether it holds: ``status`` as in ``gate.json``, ``words`` with figures and reasons."""

    kind: Kind
    status: Status
    words: str = ""
    task: str | None = None  # None for what is claimed of all tasks together
    framework: str | None = None  # None for what is claimed of no single framework
    name: str = ""  # of several claims of a kind: the seed, metric, rung or code of the finding
    judged: bool = True  # False where the claim fails because there was nothing that could be judged
    verdict: Verdict | None = None  # of a comparison
    metric: MetricComparison | None = None  # what such a claim is about
    finding: Finding | None = None

    @property
    def case(self) -> tuple[str, str]:
        """Suite and name of its test case in ``junit.xml``."""
        if self.finding is not None:
            return "findings", f"{self.name} {self.framework or ''} {self.finding.where or ''}".strip()
        suite, case = _CASES[self.kind]
        return f"{self.task or 'pooled'}.{suite}", case.format(framework=self.framework, name=self.name)


def study_claims(summary: Summary, require: Collection[str] = ()) -> list[StudyClaim]:
    """All claims, task by task, then those on all tasks together, then the findings.

    ``require`` holds what has to be decided: ``"equivalent"`` (or BETTER) or ``"not-worse"`` (every primary interval lies
    above minus the margin). Of several tasks it is required of all tasks together. That every framework learns is always
    required.
    """
    claims: list[StudyClaim] = []
    for task_id, task in summary.tasks.items():
        claims += _of_task(task_id, task)
        claims += _comparisons(task_id, task, () if summary.pooled else require)
        claims += _rungs(task_id, task)
    if summary.pooled is not None:
        claims += _comparisons(None, summary.pooled, require)
    for finding in summary.findings:
        status: Status = "fail" if finding.severity == "error" else "pass"
        claims.append(
            StudyClaim("finding", status, finding.title, finding.task, finding.framework, finding.code, finding=finding)
        )
    return claims


def exit_code(claims: Iterable[StudyClaim | Claim]) -> ExitCode:
    """1 where a claim fails, else 3 where one is undecided that has to be decided, else 0: the table of the contract."""
    statuses = {claim.status for claim in claims}
    if "fail" in statuses:
        return ExitCode.DOES_NOT_HOLD
    return ExitCode.UNDECIDED if "undecided" in statuses else ExitCode.HOLDS


def _of_task(task_id: str, task: TaskSummary) -> Iterator[StudyClaim]:
    if task.verdict is Verdict.INVALID:
        first, *others = task.reasons or ["no reason was stored"]
        more = f" (and {len(others)} more)" if others else ""
        yield StudyClaim("valid", "fail", f"is INVALID: {first}{more}", task_id, judged=False)
    else:
        yield StudyClaim("valid", "pass", "can be judged", task_id)
    for trial in task.trials:
        status: Status = "pass" if trial.reason is None else "fail"
        judged, seed = trial.reason is None, str(trial.seed)
        yield StudyClaim("trial", status, trial.reason or "", task_id, trial.framework, seed, judged)
    for framework, learns in task.learns.items():
        answers = [trial.learned for trial in task.trials_of(framework)]
        words = f"{answers.count(True)} of {len(answers)} seed{'' if len(answers) == 1 else 's'} learned"
        yield StudyClaim("learns", _LEARNS[learns], words, task_id, framework)
    for framework, masks in task.masks.items():
        illegal = bool(masks.violations or masks.empty)
        words = f"{masks.violations} illegal actions and {masks.empty} empty masks in {masks.decisions} decisions"
        if illegal and all(trial.reason is None for trial in task.trials_of(framework)):
            # What a task declares makes no trial unfit (`parity.verdict.validity`).
            illegal, words = False, f"{words}, which the task declares"
        status = "fail" if illegal or not masks.decisions else "pass"
        yield StudyClaim("masks", status, words, task_id, framework, judged=illegal or status == "pass")


def _rungs(task_id: str, task: TaskSummary) -> Iterator[StudyClaim]:
    for framework, rungs in task.ladder.items():
        for name, rung in rungs.items():
            words = f"{rung.status}: {rung.reason or rung.where or ''}".rstrip(": ")
            yield StudyClaim(
                "rung",
                _RUNGS.get(rung.status, "pass"),
                words,
                task_id,
                framework,
                f"{rung.rung} {name}",
                judged=rung.status != "invalid",
            )


def _comparisons(
    task_id: str | None, part: TaskSummary | PooledSummary, require: Collection[str]
) -> Iterator[StudyClaim]:
    if not part.comparisons:
        needed = {"equivalent", "not-worse"} & set(require)
        words = "has no port beside sb3: there is nothing to compare inside the study"
        yield StudyClaim("comparison", "undecided" if needed else "open", words, task_id)
    for port, metrics in part.comparisons.items():
        # A port without SB3 has metrics and nothing to compare them with.
        for name, metric in metrics.primary.items() if SB3 in metrics.final.scores else ():
            status, _ = _decided(metric.verdict or Verdict.INCONCLUSIVE, [metric], require)
            judged = metric.verdict is not Verdict.INVALID
            yield StudyClaim("metric", status, "", task_id, port, name, judged, metric=metric)
    for port, metrics in part.comparisons.items():
        verdict = part.verdicts[port]
        status, missing = _decided(verdict, list(metrics.primary.values()), require)
        words = ": ".join(filter(None, [verdict, _figures(metrics.primary) if status != "not_compared" else ""]))
        words += f"; required: {' and '.join(missing)}" if missing else ""
        judged = verdict is not Verdict.INVALID
        yield StudyClaim("comparison", status, words, task_id, port, judged=judged, verdict=verdict)


def _decided(verdict: Verdict, metrics: list[MetricComparison], require: Collection[str]) -> tuple[Status, list[str]]:
    """Status of a comparison, and what was required of it and does not hold."""
    if verdict is Verdict.INVALID:
        return "not_compared", []
    if verdict is Verdict.WORSE:
        return "fail", []
    holds = {
        "equivalent": verdict is not Verdict.INCONCLUSIVE,
        "not-worse": all(
            metric.interval is not None
            and metric.margin is not None
            and bool(not_worse(metric.interval[0], metric.margin))
            for metric in metrics
        ),
    }
    missing = [name for name, held in holds.items() if name in require and not held]
    if missing:
        return "undecided", missing
    return "open" if verdict is Verdict.INCONCLUSIVE else "pass", []


def _figures(metrics: dict[str, MetricComparison]) -> str:
    return ", ".join(
        f"{name} {metric.difference:+.2f}"
        + (f" ({metric.interval[0]:+.2f} to {metric.interval[1]:+.2f})" if metric.interval else "")
        for name, metric in metrics.items()
        if metric.difference is not None
    )
