"""``parity-baseline.json``: the raw values of every accepted run, kept in the repository and reviewed like code.

Raw values and not verdicts: another test can be applied to them later. No paths and no host names are in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from parity.errors import CannotStart
from parity.results.bench import TaskRounds
from parity.results.model import Strict
from parity.results.reading import read_json
from parity.results.summary import Learns, MaskCounts, Number, RungStatus

BASELINE_FILE = "parity-baseline.json"


class RunBaseline(Strict):
    """One run: ``final`` and ``auc`` in the environment's returns, ``env_steps_per_s`` without evaluation."""

    seed: int
    final: Number
    auc: Number
    learned: bool | None = None
    env_steps_per_s: Number | None = None


class RungBaseline(Strict):
    """``tolerance_needed`` is in units of the tolerance: above 1 the rung does not hold."""

    status: RungStatus
    tolerance_needed: Number | None = None


class FrameworkBaseline(Strict):
    """What one framework did on one task. ``configuration`` is its effective configuration, flat, by name."""

    learns: Learns
    runs: list[RunBaseline]
    masks: MaskCounts
    ladder: dict[str, RungBaseline] = {}
    findings: list[str] = []
    configuration: dict[str, Any] = {}


class Definition(Strict):
    """What makes a task the same task; where any of it changes, scores are no longer comparable."""

    steps: int
    eval_every: int
    eval_episodes: int
    margin: float
    mask: str | None = None
    learning_agent: str | None = None
    uniform_legal: Number
    best: Number | None = None
    ppo: dict[str, Any]


class TaskBaseline(Strict):
    """``score_one`` is the return that scored 1 in the accepted study: ``best``, or the mean of its SB3 runs."""

    definition: Definition
    score_one: Number
    frameworks: dict[str, FrameworkBaseline]
    bench: TaskRounds | None = None


class Acceptance(Strict):
    """Who made which study the baseline, when and why."""

    accepted: str
    by: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    study: str
    created: str
    commit: str | None = None
    dirty: bool | None = None


class Baseline(Strict):
    """The whole of ``parity-baseline.json``. ``history`` has the earlier acceptances, oldest first."""

    schema_version: Literal[1] = 1
    acceptance: Acceptance
    versions: dict[str, str]
    machine: dict[str, Any]
    tasks: dict[str, TaskBaseline] = Field(min_length=1)
    history: list[Acceptance] = []


def load_baseline(path: Path) -> Baseline:
    """A baseline from its file.

    Raises:
        CannotStart: it is missing or no baseline.
    """
    if not path.is_file():
        raise CannotStart(
            f'--baseline {path}: there is no such file; `parity baseline accept --reason "..."` makes it.'
        )
    return read_json(path, Baseline, "restore it from the repository, or accept a baseline anew")
