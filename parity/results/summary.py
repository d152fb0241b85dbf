"""``summary.json``: what a study decided, for scripts; the words of its verdicts, and its JSON schema.

``python -m parity.results.summary`` prints the schema that is published as ``docs/summary.schema.json``. NaN and infinities are
the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as JSON has no numbers for them. Fields may be added within a
``schema_version``, never renamed or retyped, so every model keeps fields that it does not know.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from parity.results.model import Count, Stored

SCHEMA_VERSION: Literal[1] = 1
# The framework that every port is compared with.
SB3 = "sb3"
# The primary metrics, declared before any run; equivalence needs all of them.
METRIC_WORDS = {"final": "final score", "auc": "area under the curve"}
PRIMARY = tuple(METRIC_WORDS)


class Verdict(StrEnum):
    """Does the port learn as well as SB3? Per metric, per task and for the study."""

    EQUIVALENT = "EQUIVALENT"
    WORSE = "WORSE"
    BETTER = "BETTER"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


class Learns(StrEnum):
    """Does a framework learn the task at all? A statement about the runs of the study."""

    LEARNS = "LEARNS"
    DOES_NOT_LEARN = "DOES_NOT_LEARN"
    UNDECIDED = "UNDECIDED"


Severity = Literal["error", "warning", "info"]
RungStatus = Literal["pass", "explained", "declared", "not_applicable", "fail", "invalid"]

Number = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}),
]
Interval = tuple[Number, Number]


class ReferenceSummary(Stored):
    """What the score is measured with: 0 at ``uniform_legal``, 1 at ``full_score_return``.

    ``relative`` is true where the task knows no best return: the score is then 1 at this study's SB3 mean, and must not
    be compared across studies.
    """

    uniform_legal: Number
    best: Number | None = None
    source: str = ""
    relative: bool = False
    full_score_return: Number | None = None


class MetricComparison(Stored):
    """One metric of a task: the mean score of each framework under its name, and the port's difference from SB3.

    ``difference`` is port minus SB3 in normalised score and ``interval`` its two-sided Welch interval at
    ``confidence``; both are null where there is nothing to compare with. ``p_equivalence`` is the p-value of TOST,
    ``p_worse`` that of the one-sided test and ``p_worse_holm`` the same after Holm's correction over the port's primary
    metrics in the study. ``seeds_needed`` is the number of seeds per framework with 80 % power to show equivalence
    (``parity.verdict.power.seeds_needed``), ``runs`` the number of runs behind each mean.
    """

    __pydantic_extra__: dict[str, Number | None] = Field(init=False)

    difference: Number | None = None
    interval: Interval | None = None
    confidence: float | None = None
    margin: float | None = None
    verdict: Verdict | None = None
    seeds_needed: int | None = None
    reason: str | None = None
    p_equivalence: Number | None = None
    p_worse: Number | None = None
    p_worse_holm: Number | None = None
    runs: dict[str, int] = {}

    @property
    def scores(self) -> dict[str, float | None]:
        """Mean score by framework."""
        return dict(self.__pydantic_extra__ or {})


class StepsToThreshold(Stored):
    """Environment steps until an evaluation first reaches ``threshold``; shown, and decides nothing.

    Under each framework's name stands the Kaplan-Meier median in steps, ``Infinity`` where half of the runs never got
    there. ``runs`` has the raw values: ``steps`` of a run that is ``censored`` is where it was last seen below.
    """

    class Run(Stored):
        seed: int
        steps: int
        censored: bool

    __pydantic_extra__: dict[str, Number | None] = Field(init=False)

    threshold: Number | None = None
    reached: dict[str, int] = {}
    p_logrank: Number | None = None
    runs: dict[str, list[Run]] = {}

    @property
    def medians(self) -> dict[str, float | None]:
        """Kaplan-Meier median in environment steps, by framework."""
        return dict(self.__pydantic_extra__ or {})


class PrimaryMetrics(Stored):
    """The primary metrics, declared here once, before any run."""

    final: MetricComparison = MetricComparison()
    auc: MetricComparison = MetricComparison()

    @property
    def primary(self) -> dict[str, MetricComparison]:
        return {name: getattr(self, name) for name in PRIMARY}


class Metrics(PrimaryMetrics):
    """``final`` and ``auc`` decide; steps to threshold does not."""

    steps_to_threshold: StepsToThreshold = StepsToThreshold()


class Robustness(Stored):
    """Other ways of looking at one metric's scores; they gate nothing.

    ``p_permutation`` is two-sided, stratified by task, and ``permutation_exact`` where all permutations were counted.
    ``iqm_difference`` is that of interquartile means, port minus SB3, with its BCa interval. ``successes`` holds, by
    framework, the runs that reach 0.8 of SB3's mean score on their task, and all runs. Of several tasks there are also
    ``interval_own_variances``, the interval with a variance for every task and framework, and ``p_tasks_differ``: whether
    the difference is the same on all tasks. Null where it does not apply or there is too little to tell.
    """

    p_permutation: Number | None = None
    permutation_exact: bool | None = None
    iqm_difference: Number | None = None
    iqm_interval: Interval | None = None
    iqm_confidence: float | None = None
    probability_of_improvement: Number | None = None
    successes: dict[str, tuple[int, int]] = {}
    interval_own_variances: Interval | None = None
    p_tasks_differ: Number | None = None


class MaskCounts(Stored):
    decisions: Count = 0
    violations: Count = 0
    empty: Count = 0


class MaskTotals(MaskCounts):
    """Totals over a framework's trials, and the same apart."""

    sampling: MaskCounts = MaskCounts()
    evaluation: MaskCounts = MaskCounts()


class RungResult(Stored):
    rung: int
    status: RungStatus
    max_abs: Number | None = None
    max_rel: Number | None = None
    tolerance_needed: Number | None = None
    where: str | None = None
    reason: str | None = None


class PhaseSeconds(Stored):
    """Mean seconds of one training iteration; NaN where the framework cannot tell."""

    sample: Number
    returns: Number
    update: Number
    evaluate: Number


class ObservedThroughput(Stored):
    """Measured while trials shared the machine: it gates nothing. Environment steps per second leave evaluation out."""

    env_steps_per_s: Number | None = None
    phases_s: PhaseSeconds | None = None
    device: str | None = None
    threads: int | None = None
    peak_memory_mb: Number | None = None


class TrialSummary(Stored):
    """One trial. ``status`` is its own, or ``"missing"``; ``reason`` says why it cannot be judged, null where it can.

    ``final`` and ``auc`` are normalised scores, ``final_return`` the same as ``final`` in the environment's returns.
    ``learned`` is null where that cannot be told. ``watched`` says what was seen first of what went wrong in training, and
    since when; null where nothing was.
    """

    framework: str
    seed: int
    status: Literal["done", "crashed", "interrupted", "missing"]
    reason: str | None = None
    final: Number | None = None
    auc: Number | None = None
    final_return: Number | None = None
    p_above_uniform_legal: Number | None = None
    p_above_start: Number | None = None
    learned: bool | None = None
    collapsed: bool | None = None
    watched: str | None = None


class TaskSummary(Stored):
    """One task of the study.

    ``metrics`` compares the first port with SB3; ``comparisons`` has every port, ``verdicts`` the verdict of each and
    ``reasons`` one sentence for everything that made the verdict other than the metrics' own. ``robustness`` has, by port
    and metric, figures that gate nothing.
    """

    verdict: Verdict
    reference: ReferenceSummary
    learns: dict[str, Learns]
    metrics: Metrics
    masks: dict[str, MaskTotals]
    ladder: dict[str, dict[str, RungResult]] = {}
    observed_throughput: dict[str, ObservedThroughput]
    trials: list[TrialSummary]
    comparisons: dict[str, Metrics] = {}
    verdicts: dict[str, Verdict] = {}
    reasons: list[str] = []
    collapsed: dict[str, list[int]] = {}
    steps: int | None = None
    robustness: dict[str, dict[str, Robustness]] = {}

    def trials_of(self, framework: str) -> list[TrialSummary]:
        return [trial for trial in self.trials if trial.framework == framework]


class PooledSummary(Stored):
    """All tasks of the study together: the difference from SB3 averaged over ``tasks``, each with the same weight.

    The other fields are those of a task: ``metrics`` compares the first port with SB3, ``comparisons`` and ``verdicts``
    have every port, ``robustness`` every port and metric. A metric's ``margin`` is the smallest of the tasks',
    ``runs`` counts those of all tasks, ``seeds_needed`` is per framework and task, and ``p_worse_holm`` is corrected over
    the two pooled metrics, a family of their own. ``reasons`` says why it is INVALID.
    """

    verdict: Verdict
    tasks: list[str]
    metrics: PrimaryMetrics
    comparisons: dict[str, PrimaryMetrics] = {}
    verdicts: dict[str, Verdict] = {}
    reasons: list[str] = []
    robustness: dict[str, dict[str, Robustness]] = {}


class SequentialStatus(Stored):
    """Where a study stands that adds seeds between interim analyses (``parity run --sequential``) until it is decided.

    ``looks`` are numbers of seeds per framework and task, ``look`` says which interim analysis this is, from 1.
    ``alpha`` is the one-sided error of every test at this analysis, ``confidence`` that of its intervals. ``decided``: the
    study's verdict is EQUIVALENT, WORSE or BETTER, so that no further one is due. ``seeds_saved`` counts per framework
    and task, ``trials_saved`` all of them, against going on to the last one; ``seconds_saved`` is what those would have
    run, added up, at the mean of this study's trials. None is saved where the study is not decided.
    """

    looks: list[int]
    look: int
    alpha: float
    confidence: float
    decided: bool
    seeds_saved: int = 0
    trials_saved: int = 0
    seconds_saved: Number | None = None

    @property
    def seeds(self) -> int:
        return self.looks[self.look - 1]

    @property
    def last(self) -> bool:
        return self.look == len(self.looks)


class Finding(Stored):
    """One named defect: what is wrong here, the evidence in numbers, where, and the fix."""

    code: str = Field(pattern=r"^PAR\d{3}$")
    severity: Severity
    title: str
    task: str | None = None
    framework: str | None = None
    where: str | None = None
    evidence: dict[str, Any] = {}
    fix: str | None = None
    consequences: list[str] = []


class Summary(Stored):
    """The whole of ``summary.json``."""

    schema_version: Literal[1] = SCHEMA_VERSION
    parity_version: str
    study: str
    created: str
    frameworks: list[str]
    seeds: list[int]
    verdict: Verdict
    exit_code: int
    sentence: str
    tasks: dict[str, TaskSummary]
    pooled: PooledSummary | None = None
    sequential: SequentialStatus | None = None
    findings: list[Finding] = []
    versions: dict[str, Any] = {}
    machine: dict[str, Any] = {}

    def to_json(self) -> str:
        """The text of ``summary.json``: indented, NaN and infinities as strings, a newline at the end."""
        return self.model_dump_json(indent=2) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that every ``summary.json`` of this ``schema_version`` satisfies."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Summary.model_json_schema(mode="validation")}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
