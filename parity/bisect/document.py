"""What ``parity bisect --json`` prints."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from parity.bisect.part import Anatomy
from parity.bisect.search import Culprit, Outcome
from parity.bisect.sentence import notes, sentence
from parity.bisect.step import Reached
from parity.bisect.trained import Trained
from parity.bisect.verdict import Verdict
from parity.errors import ExitCode


class PartEntry(BaseModel):
    """A part of the port: ``key`` names it, ``yours`` and ``reference`` are the values of a setting."""

    key: str
    label: str
    kind: str
    yours: str | None = None
    reference: str | None = None


class VerdictEntry(BaseModel):
    """A mixture's ladder: ``parts`` of the user's, all others the reference's; the first rung that breaks, and the roots."""

    parts: list[str]
    holds: bool
    rung: int | None
    rung_name: str | None
    codes: list[str]
    reason: str
    seconds: float


class CulpritEntry(BaseModel):
    """Parts that break. ``mends``: whether the port holds with them replaced, null where that was not tried."""

    parts: list[str]
    labels: list[str]
    rung: int | None
    codes: list[str]
    message: str
    mends: bool | None
    file: str | None = None
    command: str | None = None


class StepEntry(BaseModel):
    """A step of a climb: ``status`` is ``holds``, ``breaks`` or ``not applicable`` (``reason`` says why)."""

    step: str
    words: str
    status: str
    reason: str | None
    rung: int | None
    codes: list[str]
    failures: list[str]
    seconds: float


class TrainedEntry(BaseModel):
    """A mixture, trained: mean returns of each seed, share of the reference port's gain, and what that says."""

    parts: list[str]
    ends: list[float]
    share: float
    says: str
    raised: str | None


class TrainingEntry(BaseModel):
    """Short trainings: ``uniform_legal`` is the return of uniform play over legal actions, ``sentence`` what they say."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    steps: int
    seeds: list[int]
    uniform_legal: float
    sentence: str
    mixtures: list[TrainedEntry]


class BisectDocument(BaseModel):
    """One port, taken apart.

    ``culprits`` break, alone or together, and show in the user's port; ``then`` break once those are replaced; ``made_good``
    break in the reference port only. ``mended`` is a task file of the user's port with culprits and ``then`` replaced.
    ``training`` and ``climb`` are filled where ``--train`` and ``--climb`` asked for them.
    """

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="strings")

    schema_version: Literal[1] = 1
    task: str
    sentence: str
    exit_code: int
    notes: list[str] = []
    parts: list[PartEntry] = []
    culprits: list[CulpritEntry] = []
    then: list[CulpritEntry] = []
    made_good: list[CulpritEntry] = []
    mended: str | None = None
    tried: list[VerdictEntry] = []
    training: TrainingEntry | None = None
    climb: list[StepEntry] | None = None
    log: str | None = None
    seconds: float = 0.0

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)


def unbuilt(anatomy: Anatomy) -> BisectDocument:
    """The document of a port that raises before it can be taken apart."""
    assert anatomy.unbuilt is not None
    told = anatomy.unbuilt[0].upper() + anatomy.unbuilt[1:]
    return BisectDocument(task=anatomy.task, sentence=f"{told}.", exit_code=ExitCode.DOES_NOT_HOLD)


def document(anatomy: Anatomy, outcome: Outcome) -> BisectDocument:
    """The document of an outcome, files and training left out."""
    return BisectDocument(
        task=anatomy.task,
        sentence=sentence(anatomy, outcome),
        exit_code=ExitCode.HOLDS if outcome.port.holds and outcome.reference.holds else ExitCode.DOES_NOT_HOLD,
        notes=notes(anatomy, outcome),
        parts=[
            PartEntry(key=p.key, label=p.label, kind=p.kind, yours=p.yours, reference=p.reference)
            for p in anatomy.parts
        ],
        culprits=[_culprit(anatomy, each) for each in outcome.culprits],
        then=[_culprit(anatomy, each) for each in outcome.then],
        made_good=[_culprit(anatomy, each) for each in outcome.made_good],
        tried=[_verdict(keys, verdict) for keys, verdict in outcome.tried],
    )


def step_entry(reached: Reached) -> StepEntry:
    verdict = reached.verdict
    broken = verdict is not None and not verdict.holds
    return StepEntry(
        step=reached.step.key,
        words=reached.step.words,
        status=reached.status,
        reason=verdict.reason if broken and verdict is not None else reached.reason,
        rung=verdict.rung if verdict is not None else None,
        codes=_codes(verdict) if verdict is not None else [],
        failures=list(reached.failures),
        seconds=round(reached.seconds, 2),
    )


def trained_entry(trained: Trained) -> TrainedEntry:
    raised = next((run.raised for run in trained.runs if run.raised is not None), None)
    ends = [run.end for run in trained.runs]
    return TrainedEntry(parts=sorted(trained.keys), ends=ends, share=trained.share, says=trained.word, raised=raised)


def _culprit(anatomy: Anatomy, culprit: Culprit) -> CulpritEntry:
    roots = [error for error in culprit.alone.errors if error.is_root]
    return CulpritEntry(
        parts=sorted(culprit.keys),
        labels=[part.label for part in anatomy.parts if part.key in culprit.keys],
        rung=culprit.alone.rung,
        codes=_codes(culprit.alone),
        message=roots[0].message if roots else culprit.alone.reason,
        mends=None if culprit.without is None else culprit.without.holds,
    )


def _verdict(keys: frozenset[str], verdict: Verdict) -> VerdictEntry:
    return VerdictEntry(
        parts=sorted(keys),
        holds=verdict.holds,
        rung=verdict.rung,
        rung_name=verdict.rung_name,
        codes=_codes(verdict),
        reason=verdict.reason,
        seconds=round(verdict.seconds, 2),
    )


def _codes(verdict: Verdict) -> list[str]:
    return list(dict.fromkeys(error.code for error in verdict.errors if error.is_root))
