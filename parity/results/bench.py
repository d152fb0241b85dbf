"""``bench.json``: throughput that was measured on purpose, every round of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from parity import __version__
from parity.errors import CannotStart, one_line
from parity.results.summary import Interval, Number, PhaseSeconds

BENCH_FILE = "bench.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", ser_json_inf_nan="strings")


class Round(_Model):
    """One fresh process of one framework, its warm-up left out.

    ``env_steps_per_s`` is by the wall clock, ``phases_s`` mean seconds of one iteration (NaN where the framework cannot
    tell), ``start_s`` the seconds from the process's start to the end of the warm-up, ``other_load`` the cores that other
    processes kept busy just before.
    """

    task: str
    framework: str
    round: int
    env_steps_per_s: Number
    phases_s: PhaseSeconds
    start_s: Number
    iterations: int
    steps: int
    devices: dict[str, str] = {}
    peak_memory_mb: Number
    other_load: float


class Throughput(_Model):
    """One framework: medians over its rounds; ``rounds`` has every round's environment steps per second."""

    env_steps_per_s: Number
    rounds: list[Number]
    phases_s: PhaseSeconds
    start_s: Number
    device: str
    threads: int
    peak_memory_mb: Number


class Ratio(_Model):
    """Environment steps per second of a port over those of SB3, from the ratios of single rounds.

    ``estimate`` is their geometric mean; ``interval`` is null with fewer than two rounds. ``slower`` says whether the port
    is slower (see ``parity.verdict.throughput``), null where the rounds are too few to say; ``p_slower`` is the test's.
    """

    estimate: Number
    interval: Interval | None = None
    confidence: float
    rounds: int
    slower: bool | None = None
    p_slower: Number | None = None


class TaskBench(_Model):
    """One task: ``throughput`` by framework, ``ratio`` by pair, as in ``"rllib/sb3"``."""

    throughput: dict[str, Throughput] = {}
    ratio: dict[str, Ratio] = {}


class BenchRequest(_Model):
    """What was asked; ``rounds`` of ``iterations`` each, after ``warmup`` iterations that do not count."""

    tasks: list[str]
    task_arguments: list[str]
    frameworks: list[str]
    rounds: int
    iterations: int
    warmup: int
    device: str
    threads: int


class BenchFile(TaskBench):
    """The whole of ``bench.json``. One task stands at the top; of several, each stands under ``tasks``.

    ``reason`` says why it was not measured to its end, null where it was; ``measured`` has all rounds, as they came.
    """

    schema_version: Literal[1] = 1
    parity_version: str = __version__
    created: str
    request: BenchRequest
    task: str | None = None
    tasks: dict[str, TaskBench] = {}
    exit_code: int = 0
    sentence: str = ""
    reason: str | None = None
    versions: dict[str, str] = {}
    machine: dict[str, Any] = {}
    measured: list[Round] = []

    def by_task(self) -> dict[str, TaskBench]:
        return self.tasks or {self.request.tasks[0]: self}

    def to_json(self) -> str:
        return self.model_dump_json(indent=1) + "\n"


def load_bench_file(path: Path) -> BenchFile:
    """Reads a ``bench.json`` that ``parity bench`` wrote.

    Raises:
        CannotStart: there is none, or it cannot be read.
    """
    try:
        return BenchFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise CannotStart(f"{path} cannot be read: {one_line(error)[:200]}; measure again.") from error
