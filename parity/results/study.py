"""A study on disk: what each file holds, written by trials, read by judges and reports. No framework is imported here."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, Field, RootModel, model_validator
from pydantic_core import from_json

from parity import __version__
from parity.errors import CannotStart, each_once
from parity.results.capture import CallbackChange
from parity.results.consistency import contradictions, foreign_trials
from parity.results.ladder import LADDER_FILE
from parity.results.model import Amount, Count, Finite, Name, Stored
from parity.results.reading import complaint, parse, read_bytes, read_json
from parity.results.summary import MaskCounts
from parity.results.tables import CURVE, TIMING, read_table
from parity.results.watch import WATCH_FILE, WatchEvent, read_events
from parity.results.writing import write_text

SCHEMA_VERSION = 1
STUDY_FILE = "study.json"
TRIAL_FILE = "trial.json"
CURVE_FILE = "curve.parquet"
TIMING_FILE = "timing.parquet"
MASKS_FILE = "masks.json"
LOG_FILE = "log"
CHECKPOINT = "checkpoint"
TRIALS = "trials"
MOST_TRIALS = 20_000
SUMMARY_FILE = "summary.json"


class UntranslatedField(Stored):
    """A hyperparameter that a framework cannot take as it is, and what it does instead."""

    field: str
    value: Any
    reason: str


class EffectiveConfig(Stored):
    """What one framework really runs, see ``parity.frameworks.base.Effective``."""

    hyperparameters: dict[str, Any]
    untranslated: list[UntranslatedField] = []
    native: dict[str, Any] = {}
    devices: dict[str, str] = {}
    threads: int = 1
    processes: int = 1
    bundles: list[dict[str, float]] = [{"CPU": 1.0}]


class ReferenceScores(Stored):
    """Anchors of the normalised score; ``uniform_legal_returns`` are the measured episodes where the task gave none."""

    uniform_legal: Finite
    best: Finite | None = None
    source: str = ""
    uniform_legal_returns: list[Finite] = []


AtLeastOne = Annotated[Count, Field(ge=1)]


class TaskRecord(Stored):
    source: str
    steps: AtLeastOne
    eval_every: AtLeastOne
    eval_episodes: AtLeastOne
    margin: Annotated[Finite, Field(gt=0)]
    mask: str | None = None
    learning_agent: str | None = None
    declared: dict[str, str] = {}
    reference: ReferenceScores
    ppo: dict[str, Any]
    frameworks: dict[str, EffectiveConfig]


class Request(Stored):
    """What was asked. ``suite`` is the name that ``tasks`` and, unless given otherwise, ``seeds`` come from.

    ``looks`` are the numbers of seeds at which a sequential study is judged; ``seeds`` are then those of the look that it
    has reached, and grow with it.
    """

    tasks: Annotated[list[Name], Field(min_length=1), AfterValidator(each_once)]
    frameworks: Annotated[list[Name], Field(min_length=1), AfterValidator(each_once)]
    seeds: Annotated[list[Count], Field(min_length=1), AfterValidator(each_once)]
    steps: AtLeastOne | None = None
    device: str = "cpu"
    threads: AtLeastOne = 1
    require: list[str] = []
    task_arguments: list[str] = []
    suite: str | None = None
    looks: list[int] = []

    @model_validator(mode="after")
    def _can_be_read(self) -> Request:
        trials = len(self.tasks) * len(self.frameworks) * len(self.seeds)
        if trials > MOST_TRIALS:
            raise ValueError(f"{trials} trials, more than the {MOST_TRIALS} that a study may have")
        return self


class GitState(Stored):
    commit: str
    dirty: bool


class StudyFile(Stored):
    """``study.json``."""

    schema_version: Literal[1] = 1
    parity_version: str = __version__
    study: str
    created: str
    command: str
    request: Request
    tasks: dict[str, TaskRecord]
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    git: GitState | None = None
    ladder_digest: str | None = None
    """SHA-256 of ``ladder.json`` as the study wrote it."""

    @model_validator(mode="after")
    def _fits_together(self) -> StudyFile:
        """Every task and framework that was asked for is described."""
        for task in self.request.tasks:
            if task not in self.tasks:
                raise ValueError(f"tasks: request.tasks has {task}, which is not described")
            for framework in self.request.frameworks:
                if framework not in self.tasks[task].frameworks:
                    raise ValueError(
                        f"tasks.{task}.frameworks: request.frameworks has {framework}, which is not described"
                    )
        return self


class TrialMeta(Stored):
    """``trial.json``: how a trial ended."""

    schema_version: Literal[1] = 1
    task: str
    framework: str
    seed: Count
    status: Literal["done", "crashed", "interrupted"]
    reason: str | None = None
    steps: Count = 0
    started: str
    wall_s: Amount = 0.0
    peak_memory_mb: Amount = 0.0
    devices: dict[str, str] = {}
    threads: Count = 1
    processes: Count = 1
    initial_weights: str | None = None
    callbacks: list[CallbackChange] = []  # what the port's callbacks changed during training
    digests: dict[str, str] = {}
    """SHA-256 of the trial's other files when it ended, see `digests`."""


Phases = dict[Literal["sampling", "evaluation"], MaskCounts]


class MasksFile(RootModel[Annotated[Phases, Field(min_length=2)]]):
    """``masks.json``."""


@dataclasses.dataclass(frozen=True)
class TrialRecord:
    """One trial as it lies on disk; ``meta`` is None where it is missing.

    Attributes:
        curve: one row per evaluation, first at step 0: ``steps``, ``wall_s`` (since training began), ``train_s`` (without
            evaluation), ``return_mean``, ``return_std``, ``length_mean`` of the deterministic policy,
            ``sampled_return_mean``, ``sampled_return_std``, and the episodes themselves in the lists ``returns`` and
            ``sampled_returns``. Where other agents with a choice were evaluated too, each one's mean returns and
            deviations as ``agents/<agent>/return_mean`` and so on.
        timing: one row per iteration: ``iteration``, ``steps``, ``sample_s``, ``returns_s``, ``update_s``, ``evaluate_s``.
        masks: ``{"sampling" | "evaluation": {"decisions", "violations", "empty"}}``.
        watched: what was seen while it trained.
        damage: what is wrong with its files, with the name of one; None where they can be read and are the trial's own.
    """

    task: str
    framework: str
    seed: int
    folder: Path
    meta: TrialMeta | None = None
    curve: pd.DataFrame | None = None
    timing: pd.DataFrame | None = None
    masks: dict[str, dict[str, int]] | None = None
    watched: list[WatchEvent] = dataclasses.field(default_factory=list)
    damage: str | None = None


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """A whole study as it lies on disk, every trial that was asked for included; ``foreign`` are others that lie there."""

    folder: Path
    file: StudyFile
    trials: list[TrialRecord]
    foreign: list[str] = dataclasses.field(default_factory=list)


def agent_column(agent: str, column: str) -> str:
    """The column of ``curve`` that holds for another agent what ``column`` holds for the learning agent."""
    return f"agents/{agent}/{column}"


def agents_of(curve: pd.DataFrame) -> list[str]:
    """Agents beside the learning one whose returns a curve has."""
    last = "/return_mean"
    named = [name for name in map(str, curve.columns) if name.startswith("agents/") and name.endswith(last)]
    return [name.removeprefix("agents/").removesuffix(last) for name in named]


def trial_folder(study: Path, task: str, framework: str, seed: int) -> Path:
    return study / TRIALS / task / framework / str(seed)


def study_of(trial: Path) -> Path:
    """The study that a trial's folder is in, see `trial_folder`."""
    return trial.parents[3]


def load_study(folder: Path) -> StudyRecord:
    """Reads a study.

    Raises:
        CannotStart: it has no ``study.json``, or that cannot be read. A trial that cannot is one with ``damage``.
    """
    path = folder / STUDY_FILE
    if not path.is_file():
        raise CannotStart(f"{folder} is not a study: it has no {STUDY_FILE}.")
    file = read_json(path, StudyFile, "restore it, or run the study again")
    trials = [
        load_trial(folder, task, framework, seed)
        for task in file.request.tasks
        for framework in file.request.frameworks
        for seed in file.request.seeds
    ]
    for place, damage in contradictions(file, trials):
        trials[place] = dataclasses.replace(trials[place], damage=damage, curve=None, timing=None)
    return StudyRecord(folder, file, trials, foreign_trials(folder / TRIALS, trials))


def load_trial(study: Path, task: str, framework: str, seed: int) -> TrialRecord:
    folder = trial_folder(study, task, framework, seed)
    record = TrialRecord(task, framework, seed, folder)
    if not (folder / TRIAL_FILE).is_file():
        return record
    file = folder / TRIAL_FILE
    try:
        meta = parse(file, TrialMeta)
        file = folder / MASKS_FILE
        masks = parse(file, MasksFile).model_dump() if file.is_file() else None
    except (ValueError, OSError) as error:
        return dataclasses.replace(record, damage=f"{file.name}: {complaint(error)}")
    try:
        watched = read_events(folder / WATCH_FILE)
    except CannotStart as error:
        return dataclasses.replace(record, damage=str(error))
    record = dataclasses.replace(record, meta=meta, masks=masks, watched=watched)
    if (meta.task, meta.framework, meta.seed) != (task, framework, seed):
        return dataclasses.replace(
            record, damage=f"{TRIAL_FILE}: it is of {meta.task}/{meta.framework}/{meta.seed}, so it was copied here"
        )
    try:
        # Tables first: they are not read into memory where they are too large.
        curve, timing = read_table(folder / CURVE_FILE, CURVE), read_table(folder / TIMING_FILE, TIMING)
        there = digests(folder)
    except (ValueError, OSError) as error:
        return dataclasses.replace(record, damage=str(error))
    names = meta.digests.keys() | (there.keys() if meta.digests else set())
    if changed := sorted(name for name in names if meta.digests.get(name) != there.get(name)):
        return dataclasses.replace(record, damage=f"{changed[0]}: it is not what the trial wrote")
    return dataclasses.replace(record, curve=curve, timing=timing)


def digests(trial: Path) -> dict[str, str]:
    """SHA-256 of the files of a trial that are judged, by name, of those that are there."""
    paths = [trial / name for name in (CURVE_FILE, TIMING_FILE, MASKS_FILE)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def write_ladder(study: Path, text: str) -> None:
    """Stores the ladder; its digest comes first, so that a study that is cut off in between has none rather than another's."""
    file = load_study(study).file.model_copy(update={"ladder_digest": hashlib.sha256(text.encode()).hexdigest()})
    file.write(study / STUDY_FILE)
    write_text(study / LADDER_FILE, text)


def find_study(name: str | None, out: Path) -> Path:
    """A study by folder or by name under ``out``; None: the newest.

    Raises:
        CannotStart: there is none.
    """
    if name is not None:
        for candidate in (Path(name), out / name):
            if (candidate / STUDY_FILE).is_file():
                return candidate
        raise CannotStart(f"There is no study {name}, neither as a folder nor under {out}/.")
    studies = list_studies(out)
    if not studies:
        raise CannotStart(f"There is no study under {out}/; `parity run` makes one.")
    return studies[-1]


def free_name(out: Path, name: str) -> str:
    """``name``, or with the first number behind it that nothing under ``out`` has yet."""
    taken = {path.name for path in out.iterdir()} if out.is_dir() else set()
    return next(
        candidate for n in range(1, len(taken) + 2) if (candidate := name if n == 1 else f"{name}-{n}") not in taken
    )


def list_studies(out: Path) -> list[Path]:
    """Study folders under ``out``, oldest first."""

    def created(folder: Path) -> tuple[str, str]:
        try:
            return str(from_json(read_bytes(folder / STUDY_FILE))["created"]), folder.name
        except (ValueError, OSError, TypeError, LookupError):
            return "", folder.name

    return sorted((path.parent for path in out.glob(f"*/{STUDY_FILE}")), key=created)


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
