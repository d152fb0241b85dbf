"""What a report says, before it is laid out: the rows of its tables and its sentences, for HTML and Markdown alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from parity.report import text
from parity.report.configuration import ConfigRow, config_rows, runtime_rows
from parity.report.curves import TaskCurves
from parity.report.gate import GateSection, gate_section
from parity.report.metric_rows import MetricRow, Pooled, metric_rows, pooled_rows, ports_of, undecided_metrics
from parity.report.rungs import ladder_words
from parity.report.strip import StripItem, strip
from parity.report.throughput import PhaseTimes, measured, measured_ratios, phase_times
from parity.results.bench import Ratio
from parity.results.study import LOG_FILE, StudyRecord, TaskRecord, TrialRecord
from parity.results.summary import (
    SB3,
    Finding,
    Learns,
    Metrics,
    ObservedThroughput,
    SequentialStatus,
    Summary,
    TaskSummary,
    TrialSummary,
    Verdict,
)
from parity.results.watch import WatchEvent
from parity.verdict.learning import LEAST_SEEDS


@dataclass(frozen=True)
class TrialRow:
    """One trial that was asked for: how it ended, and what the judge made of it."""

    record: TrialRecord
    summary: TrialSummary
    log: str | None
    """Where its log lies, as a relative URL from the study's folder."""
    weights: str

    @property
    def learned(self) -> str:
        return {True: "yes", False: "no", None: text.UNKNOWN}[self.summary.learned]

    @property
    def reason(self) -> str | None:
        """As a sentence about the trial."""
        if self.summary.reason is None:
            return None
        return text.sentence_case(f"{self.summary.framework} seed {self.summary.seed} {self.summary.reason}")


@dataclass(frozen=True)
class WatchedRow:
    """A finding of a trial while it trained; ``until`` is the iteration that showed it last, None where it went on."""

    framework: str
    seed: int
    event: WatchEvent
    until: int | None

    @property
    def iterations(self) -> str:
        return f"{self.event.since} to {self.until or 'the end'}"

    @property
    def finding(self) -> str:
        cause = ", first cause" if self.event.first_cause else ""
        follows = f", follows from {self.event.follows_from}" if self.event.follows_from else ""
        return f"{self.event.code} {self.event.title} ({self.event.severity}{cause}{follows})"


@dataclass(frozen=True)
class FrameworkRow:
    """A framework on a task, for the table under the verdict."""

    task: str
    framework: str
    learns: Learns
    seeds: int
    seeds_learned: int
    mean_final: float
    verdict: Verdict | None


@dataclass(frozen=True)
class ThroughputRow:
    """``ratio``: environment steps per second over those of SB3."""

    framework: str
    observed: ObservedThroughput
    ratio: float | None
    times: PhaseTimes | None


@dataclass(frozen=True)
class TaskContent:
    """Everything about one task."""

    id: str
    summary: TaskSummary
    record: TaskRecord
    curves: TaskCurves
    metrics: list[MetricRow]
    config: list[ConfigRow]
    runtime: list[ConfigRow]
    throughput: list[ThroughputRow]
    measured_speed: list[str]
    measured_ratios: dict[str, Ratio]
    trials: list[TrialRow]
    findings: list[Finding]
    frameworks: list[str]
    watched: list[WatchedRow]

    @property
    def ports(self) -> dict[str, Metrics]:
        return ports_of(self.summary, self.frameworks)

    @property
    def steps(self) -> int:
        """Environment steps asked of a trial."""
        return self.summary.steps or self.record.steps

    @property
    def curveless(self) -> list[TrialRow]:
        """Trials without a curve: missing from the figures, so the text has to name them."""
        with_curve = {(curve.framework, curve.seed) for curve in self.curves.seeds}
        return [row for row in self.trials if (row.summary.framework, row.summary.seed) not in with_curve]

    @property
    def score_words(self) -> str:
        """What a score of 0 and of 1 is."""
        reference = self.summary.reference
        zero = f"0 is uniform play over legal actions (return {text.number(reference.uniform_legal)})"
        if reference.best is not None and not reference.relative:
            return f"{zero}, 1 the best known (return {text.number(reference.best)})"
        if reference.full_score_return is None:
            return f"{zero}; there is no score, as no best return is known and no sb3 run gives a scale"
        return (
            f"{zero}, 1 the mean of sb3 in this study (return {text.number(reference.full_score_return)}), as no best "
            "return is known: such a score must not be compared across studies"
        )

    def curve_alt(self, axis: str) -> str:
        """The figure in words, for people who do not see it."""
        against = "environment steps" if axis == "steps" else "training seconds"
        ends = [_end(self.curves, framework) or f"{framework}: no complete seed" for framework in self.frameworks]
        anchors = f"uniform play over legal actions {text.number(self.summary.reference.uniform_legal, 3)}"
        if self.curves.best is not None:
            anchors += f", best known {text.number(self.curves.best, 3)}"
        return (
            f"Learning curves of {self.id}: return of the deterministic policy against {against}, every seed and the mean "
            f"per framework. {'; '.join(ends)}; {anchors}."
        )

    def agent_alt(self, agent: str) -> str:
        """The figure of another agent in words."""
        curves = self.curves.of_agent(agent)
        ends = [end for framework in self.frameworks if (end := _end(curves, framework))]
        return (
            f"Learning curves of agent {agent} in {self.id}: its return, deterministic policies, against environment steps. "
            f"{'; '.join(ends) or 'No complete seed'}."
        )

    @property
    def difference_alt(self) -> str:
        parts = [f"{row.port}, {row.label}: {row.figures}" for row in self.metrics if row.forest]
        return f"Differences from sb3 in normalised score on {self.id}, margin ±{self.record.margin:g}. {'; '.join(parts)}."

    @property
    def ladder_alt(self) -> str:
        return ladder_words(self.summary.ladder or {})

    @property
    def throughput_alt(self) -> str:
        parts = [
            f"{row.framework}: {text.number(sum(s for s in row.times.seconds.values() if math.isfinite(s)), 3)} s"
            for row in self.throughput
            if row.times
        ]
        return f"Seconds per 1000 environment steps by phase on {self.id}, in total {'; '.join(parts)}."


@dataclass(frozen=True)
class Content:
    """A whole report."""

    study: StudyRecord
    summary: Summary
    tasks: list[TaskContent]
    frameworks: list[FrameworkRow]
    missing: list[str]
    pooled: Pooled | None = None
    general_findings: list[Finding] = field(default_factory=list)
    gate: GateSection | None = None

    @property
    def strip(self) -> list[StripItem]:
        return strip(self.summary, self.tasks)

    @property
    def interim_words(self) -> str | None:
        sequential = self.summary.sequential
        return None if sequential is None else _interim_words(sequential, self.summary.verdict)

    @property
    def verdict_words(self) -> str:
        if self.summary.verdict is Verdict.INCONCLUSIVE and not any(row.verdict for row in self.frameworks):
            return "There is nothing to compare: the study has sb3 alone, or a port without sb3."
        comparisons = sum(row.verdict is not None for row in self.frameworks)
        if comparisons > 1 and self.summary.verdict is not Verdict.INVALID:
            if self.summary.pooled is None:
                return f"The study makes {comparisons} comparisons; its verdict is the gravest of theirs."
            return (
                f"The verdict is on its {len(self.tasks)} tasks together; a task that is WORSE, BETTER or INVALID by "
                "itself is not outweighed by the others."
            )
        return text.VERDICT_WORDS[self.summary.verdict]


def content(study: StudyRecord, summary: Summary) -> Content:
    speeds = measured(study.folder, list(summary.tasks))
    tasks = [_task(study, summary, name, speeds[name]) for name in study.file.request.tasks if name in summary.tasks]
    pooled = pooled_rows(summary, {task.id: task.metrics for task in tasks})
    return Content(
        study=study,
        summary=summary,
        tasks=tasks,
        frameworks=[row for task in tasks for row in _framework_rows(task)],
        missing=_missing_together(pooled)
        + [sentence for task in tasks for sentence in _missing(task, several=len(tasks) > 1)],
        pooled=pooled,
        general_findings=[finding for finding in summary.findings if finding.task not in summary.tasks],
        gate=gate_section(study.folder, summary),
    )


def _task(study: StudyRecord, summary: Summary, name: str, measured_speed: list[str]) -> TaskContent:
    task, record = summary.tasks[name], study.file.tasks[name]
    frameworks = list(study.file.request.frameworks)
    records = {(t.framework, t.seed): t for t in study.trials if t.task == name}
    return TaskContent(
        id=name,
        summary=task,
        record=record,
        curves=TaskCurves.of(study, name, task),
        metrics=metric_rows(ports_of(task, frameworks), task.robustness),
        config=config_rows(record, frameworks),
        runtime=runtime_rows(record, frameworks),
        throughput=_throughput_rows(task, frameworks, records),
        measured_speed=measured_speed,
        measured_ratios=measured_ratios(study.folder, name),
        trials=[
            _trial_row(study, records[trial.framework, trial.seed], trial, records)
            for trial in task.trials
            if (trial.framework, trial.seed) in records
        ],
        findings=[finding for finding in summary.findings if finding.task == name],
        frameworks=frameworks,
        watched=[row for record in records.values() for row in _watched_rows(record)],
    )


def _watched_rows(record: TrialRecord) -> list[WatchedRow]:
    """What was seen while a trial ran, without what is only worth knowing."""
    ends = {(each.code, each.module, each.since): each.iteration for each in record.watched if each.event == "end"}
    return [
        WatchedRow(record.framework, record.seed, each, ends.get((each.code, each.module, each.since)))
        for each in record.watched
        if each.event == "begin" and each.severity != "info"
    ]


def _framework_rows(task: TaskContent) -> list[FrameworkRow]:
    rows = []
    for framework in task.frameworks:
        trials = task.summary.trials_of(framework)
        finals = [trial.final for trial in trials if trial.final is not None and math.isfinite(trial.final)]
        verdict = task.summary.verdicts.get(framework)
        if verdict is None and framework in task.ports and SB3 in task.frameworks:
            verdict = task.summary.verdict
        rows.append(
            FrameworkRow(
                task=task.id,
                framework=framework,
                learns=task.summary.learns.get(framework, Learns.UNDECIDED),
                seeds=len(trials),
                seeds_learned=sum(trial.learned is True for trial in trials),
                mean_final=sum(finals) / len(finals) if finals else math.nan,
                verdict=verdict if SB3 in task.frameworks else None,
            )
        )
    return rows


def _throughput_rows(
    task: TaskSummary, frameworks: list[str], records: dict[tuple[str, int], TrialRecord]
) -> list[ThroughputRow]:
    complete = {(t.framework, t.seed) for t in task.trials if t.final_return is not None}
    observed = {name: task.observed_throughput.get(name, ObservedThroughput()) for name in (SB3, *frameworks)}
    base = observed[SB3].env_steps_per_s
    rows = []
    for framework in frameworks:
        rate = observed[framework].env_steps_per_s
        ratio = rate / base if rate and base and framework != SB3 else None
        timed = [record for key, record in records.items() if key in complete and key[0] == framework]
        rows.append(ThroughputRow(framework, observed[framework], ratio, phase_times(framework, timed)))
    return rows


def _trial_row(
    study: StudyRecord, record: TrialRecord, trial: TrialSummary, records: dict[tuple[str, int], TrialRecord]
) -> TrialRow:
    log = record.folder / LOG_FILE
    relative = None
    if log.is_file():
        parts = ("trials", record.task, record.framework, str(record.seed), LOG_FILE)
        relative = "/".join(quote(part, safe="") for part in parts)
    weights = record.meta.initial_weights if record.meta else None
    sb3 = records.get((SB3, record.seed))
    same = weights and record.framework != SB3 and sb3 and sb3.meta and sb3.meta.initial_weights == weights
    return TrialRow(record, trial, relative, "as sb3" if same else (weights[:8] if weights else text.UNKNOWN))


def _missing_together(pooled: Pooled | None) -> list[str]:
    if pooled is None:
        return []
    sentences = pooled.summary.reasons + undecided_metrics(pooled.of_all)
    return [text.sentence_case(f"All tasks together: {sentence}") for sentence in sentences]


def _missing(task: TaskContent, several: bool) -> list[str]:
    """What stands between this study and an answer, as sentences; the judge's own reasons first."""
    sentences = list(task.summary.reasons)
    for framework, learns in task.summary.learns.items():
        if learns is Learns.UNDECIDED:
            trials = task.summary.trials_of(framework)
            learned = f"{sum(t.learned is True for t in trials)} of {text.plural(len(trials), 'seed')} learned"
            least = f"; at least {LEAST_SEEDS} seeds are needed" if len(trials) < LEAST_SEEDS else ""
            sentences.append(f"it is undecided whether {framework} learns: {learned}{least}")
    sentences += undecided_metrics(task.metrics)
    if SB3 not in task.frameworks:
        sentences.append("no sb3 was asked for, so there is nothing to compare with")
    elif len(task.frameworks) == 1:
        sentences.append("no port was asked for, so there is nothing to compare sb3 with")
    prefix = f"{task.id}: " if several else ""
    return [text.sentence_case(prefix + sentence) for sentence in sentences]


def _end(curves: TaskCurves, framework: str) -> str | None:
    """Where the mean curve of the deterministic policy ends, for people who do not see it; None without a complete seed."""
    mean = curves.mean(framework, "deterministic")
    if mean is None:
        return None
    return f"{framework} ends at {text.number(mean.mean[-1], 3)} ({text.plural(mean.runs, 'complete seed')})"


def _interim_words(status: SequentialStatus, verdict: Verdict) -> str:
    """The interim analysis of a sequential study, its error rate, and what stopping there saved, in sentences."""
    *before, last = map(str, status.looks)
    words = (
        f"Seeds are added between interim analyses, at {', '.join(before)} and {last} per framework; this is interim "
        f"analysis {status.look} of {len(status.looks)}. Each tests at {100 * status.alpha:.3g} %, with "
        f"{text.percent(status.confidence)} intervals: a port that is worse by the whole margin is called EQUIVALENT at any "
        "of them in at most 5 % of studies."
    )
    if verdict is Verdict.INVALID:
        return words
    if not status.decided:
        rest = "It was the last." if status.last else f"The next is at {status.looks[status.look]} seeds."
        return f"{words} It decided nothing. {rest}"
    if status.last:
        return f"{words} It decided, as the last."
    seeds, trials = text.plural(status.seeds_saved, "seed"), text.plural(status.trials_saved, "trial")
    saved = f"{seeds} per framework and task, {trials}"
    if text.known(status.seconds_saved):
        saved += f", about {text.duration(status.seconds_saved)} of running time added up"
    return f"{words} It decided, and the study stopped here; that saved {saved}."


def evidence(finding: Finding) -> list[tuple[str, str]]:
    def show(value: Any) -> str:
        return text.number(value) if isinstance(value, float) else str(value)

    return [(key, show(value)) for key, value in finding.evidence.items()]
