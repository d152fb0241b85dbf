"""From a stored study to its summary. ``judge`` runs nothing: the same files give the same verdict next year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from parity.errors import CannotStart, ExitCode
from parity.results.ladder import LADDER_FILE, RUNGS, has_own_ladder, load_ladder
from parity.results.summary import (
    SB3,
    Finding,
    Learns,
    Metrics,
    PooledSummary,
    RungResult,
    SequentialStatus,
    Summary,
    TaskSummary,
    TrialSummary,
    Verdict,
)
from parity.verdict.claims import exit_code, study_claims
from parity.verdict.learning import framework_learns
from parity.verdict.port_comparison import compare, correct_worse, gravest, invalidate, pool, primary_verdict
from parity.verdict.robustness import robustness
from parity.verdict.sentence import sentence
from parity.verdict.sequential import InterimAnalysis, analysis_at, decided
from parity.verdict.statistics import ALPHA, more_collapses
from parity.verdict.task_runs import TaskRuns
from parity.verdict.trial_totals import mask_totals, observed_throughput

if TYPE_CHECKING:
    from parity.results.study import StudyRecord

# {framework: {rung name: result}}, and the same for every task.
TaskLadder = Mapping[str, Mapping[str, RungResult]]
Ladder = Mapping[str, TaskLadder]

SB3_DOES_NOT_LEARN = "sb3 does not learn it: the task or its budget is wrong"


def judge_stored(study: StudyRecord) -> Summary:
    """The verdict on what lies in a study's folder, its ladder included.

    Raises:
        CannotStart: as ``judge``, or the ladder cannot be read.
    """
    ladder, findings = load_ladder(study.folder)
    reason = f"{LADDER_FILE} does not have it; delete the file and run again with --resume"
    if ladder is not None and not has_own_ladder(study.folder, study.file.ladder_digest):
        ladder, findings = None, []
        reason = f"{LADDER_FILE} is not what the study wrote; run again with --resume"
    return judge(study, ladder=_with_missing_rungs(study, ladder or {}, reason), findings=findings)


def _with_missing_rungs(study: StudyRecord, ladder: Ladder, reason: str) -> Ladder:
    """The ladder with an invalid result for every rung that should stand there and does not.

    ``parity run`` stores one for every port beside SB3, also where nothing could be compared.
    """
    frameworks = study.file.request.frameworks
    ports = [framework for framework in frameworks if framework != SB3] if SB3 in frameworks else []
    missing = {name: RungResult(rung=i, status="invalid", reason=reason) for i, name in enumerate(RUNGS)}
    return {
        task: {port: {**missing, **ladder.get(task, {}).get(port, {})} for port in ports}
        for task in study.file.request.tasks
    }


def judge(study: StudyRecord, ladder: Ladder | None = None, findings: Sequence[Finding] = ()) -> Summary:
    """The verdict on a study, from what is stored of it.

    Args:
        study: ``study.json`` and the trials of ``trials/``, as ``parity.results.study.load_study`` reads them.
        ladder: results of the deterministic ladder, by task, framework and rung; a rung that failed, or should have run
            and did not, makes its task INVALID. None where the ladder did not run.
        findings: what the checks found; any of severity ``error`` makes the exit code 1.

    Returns:
        The whole of ``summary.json``, with verdict, exit code and one sentence for people. A sequential study
        is tested at the alpha of its interim analysis, everywhere.

    Raises:
        CannotStart: ``study.json`` asks for interim analyses that have no alpha, or for a number of seeds between two of them.
    """
    file = study.file
    analysis = interim_analysis_of(study)
    alpha = analysis.alpha if analysis else ALPHA
    all_runs = {task: TaskRuns.of(study, task) for task in file.request.tasks}
    frameworks = list(file.request.frameworks)
    ports = [framework for framework in frameworks if framework != SB3]
    comparisons: dict[str, dict[str, Metrics]] = {task: {} for task in all_runs}
    for port in ports:
        pair = [SB3, port] if SB3 in frameworks else [port]
        corrected = correct_worse([compare(runs, pair, alpha) for runs in all_runs.values()], alpha)
        for task, metrics in zip(all_runs, corrected, strict=True):
            comparisons[task][port] = metrics
    tasks = {
        task: _judge_task(runs, comparisons[task], (ladder or {}).get(task, {}), alpha, _foreign(study, task))
        for task, runs in all_runs.items()
    }
    pooled = pool(all_runs, tasks, alpha)
    verdict = _study_verdict(tasks, pooled)
    summary = Summary(
        parity_version=file.parity_version,
        study=file.study,
        created=file.created,
        frameworks=frameworks,
        seeds=list(file.request.seeds),
        verdict=verdict,
        exit_code=ExitCode.HOLDS,
        sentence="",
        tasks=tasks,
        pooled=pooled,
        sequential=_stopping(study, analysis, verdict) if analysis else None,
        findings=list(findings),
        versions=dict(file.versions),
        machine=dict(file.machine),
    )
    code = int(exit_code(study_claims(summary, file.request.require)))
    return summary.model_copy(update={"exit_code": code, "sentence": sentence(summary)})


def interim_analysis_of(study: StudyRecord) -> InterimAnalysis | None:
    """The interim analysis that a study stands at; None where it is not sequential.

    Raises:
        CannotStart: no alpha is known for its analyses, or its number of seeds lies between two of them.
    """
    request = study.file.request
    if not request.looks:
        return None
    try:
        analysis = analysis_at(len(request.seeds), tuple(request.looks))
    except ValueError as error:
        raise CannotStart(f"study.json of {study.file.study}, request.looks: {error}.") from error
    if analysis is None:
        raise CannotStart(
            f"study.json of {study.file.study}, request.seeds: {len(request.seeds)} seeds are between the interim "
            f"analyses at {', '.join(map(str, request.looks))}, where nothing may be tested; ask for the seeds of one."
        )
    return analysis


def _stopping(study: StudyRecord, analysis: InterimAnalysis, verdict: Verdict) -> SequentialStatus:
    stands = decided(verdict, analysis) and verdict not in (Verdict.INCONCLUSIVE, Verdict.INVALID)
    saved = analysis.seeds_saved if stands else 0
    seconds: dict[tuple[str, str], list[float]] = {}
    for trial in study.trials:
        if trial.meta is not None and trial.meta.status == "done":
            seconds.setdefault((trial.task, trial.framework), []).append(trial.meta.wall_s)
    return SequentialStatus(
        looks=list(analysis.looks),
        look=analysis.number,
        alpha=analysis.alpha,
        confidence=analysis.confidence,
        decided=stands,
        seeds_saved=saved,
        trials_saved=saved * len(study.file.request.tasks) * len(study.file.request.frameworks),
        seconds_saved=saved * sum(sum(arm) / len(arm) for arm in seconds.values()) if saved else None,
    )


def _study_verdict(tasks: Mapping[str, TaskSummary], pooled: PooledSummary | None) -> Verdict:
    """That of the only task; of several, the pooled one, unless a task by itself says something graver.

    A task that is INCONCLUSIVE alone does not count: pooling is how several tasks of few seeds decide at all.
    """
    if pooled is None:
        return gravest([task.verdict for task in tasks.values()])
    alone = [verdict for task in tasks.values() for verdict in (task.verdict, *task.verdicts.values())]
    return gravest([pooled.verdict, *(verdict for verdict in alone if verdict is not Verdict.INCONCLUSIVE)])


def _foreign(study: StudyRecord, task: str) -> list[str]:
    """One sentence where trials lie in the study that it did not ask for; those of no task of it count for every one."""
    foreign = [name for name in study.foreign if name.partition("/")[0] in (task, *_unknown_tasks(study))]
    return [f"trials/{foreign[0]} is there and was not asked for: move it out of the study"] if foreign else []


def _unknown_tasks(study: StudyRecord) -> set[str]:
    return {name.partition("/")[0] for name in study.foreign} - set(study.file.request.tasks)


def _judge_task(
    runs: TaskRuns, compared: Mapping[str, Metrics], ladder: TaskLadder, alpha: float, foreign: list[str]
) -> TaskSummary:
    trials = [runs.trial_summary(run) for run in runs.runs]
    learns = _learns(runs, trials)
    collapsed = {
        framework: [trial.seed for trial in trials if trial.framework == framework and trial.collapsed]
        for framework in runs.frameworks
    }
    of_task = foreign + ([SB3_DOES_NOT_LEARN] if learns.get(SB3) is Learns.DOES_NOT_LEARN else [])
    if not (runs.scale.zero < runs.scale.one or runs.reference.relative):
        of_task.append("its reference is no scale: best is not above uniform_legal")
    broken = {framework: _broken_rungs(framework, rungs) for framework, rungs in ladder.items()}
    # Numbers that differ are the cause where trials then crash or never learn: they are told first.
    reasons = [reason for rungs in broken.values() for reason in rungs] + runs.problems(runs.frameworks) + of_task

    comparisons, verdicts = dict(compared), {}
    for port, metrics in compared.items():
        invalid = runs.problems([SB3, port]) + of_task
        extra = more_collapses(runs.scores(SB3, "final"), runs.scores(port, "final")) if SB3 in runs.frameworks else 0
        if extra > 1:
            reasons.append(f"{extra} more seeds of {port} collapsed than of sb3")
        if invalid:
            comparisons[port] = invalidate(metrics, invalid[0])
        if invalid or broken.get(port):
            verdicts[port] = Verdict.INVALID
        else:
            verdicts[port] = Verdict.WORSE if extra > 1 else primary_verdict(metrics)
    shown = next(iter(comparisons.values()), None)
    if shown is None:
        alone = compare(runs, runs.frameworks, alpha)
        shown = invalidate(alone, reasons[0]) if reasons else alone
    of_all = [Verdict.INVALID] if of_task or runs.problems(runs.frameworks) or any(broken.values()) else []
    return TaskSummary(
        verdict=gravest([*of_all, *(verdicts.values() or [Verdict.INCONCLUSIVE])]),
        reference=runs.reference,
        learns=learns,
        metrics=shown,
        masks={framework: mask_totals(runs.of_framework(framework)) for framework in runs.frameworks},
        ladder={framework: dict(rungs) for framework, rungs in ladder.items()},
        observed_throughput={
            framework: observed_throughput(runs.of_framework(framework)) for framework in runs.frameworks
        },
        trials=trials,
        comparisons=comparisons,
        verdicts=verdicts,
        reasons=reasons,
        collapsed=collapsed,
        steps=runs.steps,
        robustness={port: robustness([runs], port, alpha) for port in comparisons if SB3 in runs.frameworks},
    )


def _learns(runs: TaskRuns, trials: Sequence[TrialSummary]) -> dict[str, Learns]:
    return {
        framework: framework_learns(
            [trial.learned for trial in trials if trial.framework == framework],
            runs.mean_score(framework),
            runs.mean_score(SB3) if framework != SB3 and SB3 in runs.frameworks else None,
        )
        for framework in runs.frameworks
    }


def _broken_rungs(port: str, rungs: Mapping[str, RungResult]) -> list[str]:
    return [
        f"rung {result.rung} ({name}) of {port} {'failed' if result.status == 'fail' else 'should have run and did not'}"
        + (f": {result.reason}" if result.reason else "")
        for name, result in rungs.items()
        if result.status in ("fail", "invalid")
    ]
