"""What ``parity bisect`` stores as ``bisect.json`` and prints with ``--json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part of a port that the reference port has too, so that the two can be exchanged."""

    key: str  # its name in files and messages, as ``module.value`` or ``lr``
    label: str  # for a sentence; names the user's own class or value
    kind: str  # one of `parity.bisect.parts.KINDS`
    # Key of the group that is exchanged as a whole first; None for a part that is exchanged by itself. Not stored
    group: Annotated[str | None, Field(exclude=True)] = None
    yours: str | None = None  # value of a setting, in words; None for code
    reference: str | None = None


class HybridEntry(BaseModel):
    """The ladder of a hybrid: ``parts`` are the user's, all others the reference port's.

    ``rung`` is the first that breaks, ``codes`` are those of the findings that follow from no other.
    """

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
    """A step of ``--climb``. ``reason``: of the first rung that breaks, or why the step is not applicable.

    ``failures`` are the claims of a probe that do not hold.
    """

    step: str
    words: str
    status: Literal["holds", "breaks", "not applicable"]
    reason: str | None = None
    rung: int | None = None
    codes: list[str] = []
    failures: list[str] = []
    seconds: float = 0.0


class TrainedEntry(BaseModel):
    """A trained hybrid.

    ``ends`` are mean returns after training, one for each seed; ``share`` is the mean over seeds of the hybrid's gain over
    uniform legal play, divided by the reference port's gain.
    """

    parts: list[str]
    ends: list[float]
    share: float
    says: Literal["learns", "does not learn", "cannot be told", "raises"]
    raised: str | None

    @property
    def end(self) -> float:
        return sum(self.ends) / len(self.ends)


class TrainingEntry(BaseModel):
    """Short trainings: ``uniform_legal`` is the return of uniform play over legal actions, ``sentence`` what they say."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    steps: int
    seeds: list[int]
    uniform_legal: float
    sentence: str
    mixtures: list[TrainedEntry]


class BisectDocument(BaseModel):
    """What was found in one port.

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
    parts: list[Part] = []
    culprits: list[CulpritEntry] = []
    then: list[CulpritEntry] = []
    made_good: list[CulpritEntry] = []
    mended: str | None = None
    tried: list[HybridEntry] = []
    training: TrainingEntry | None = None
    climb: list[StepEntry] | None = None
    log: str | None = None
    seconds: float = 0.0

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)
