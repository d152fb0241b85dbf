"""``bench.json``: throughput that was measured on purpose, every round of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from parity import __version__
from parity.results.model import Stored, Strict
from parity.results.reading import read_json
from parity.results.study import STUDY_FILE, EffectiveConfig
from parity.results.summary import SB3, Finding, Interval, Number, PhaseSeconds

BENCH_FILE = "bench.json"


class PhaseTime(Stored):
    """Mean seconds of one iteration in one phase, by the wall clock and of all the process's threads on the CPU.

    ``parts``: those of its parts that have a name, such as connectors.
    """

    wall_s: Number
    cpu_s: Number
    parts: dict[str, PhaseTime] = {}


class GpuUse(Stored):
    """A GPU while iterations were timed: ``utilisation`` in percent and ``memory_mb`` of the whole card are what NVML says
    (null without nvidia-ml-py), ``allocated_mb`` is the peak of this process's tensors."""

    name: str
    utilisation: Number | None = None
    memory_mb: Number | None = None
    allocated_mb: Number


class Round(Stored):
    """One fresh process of one framework, its warm-up left out.

    ``env_steps_per_s`` is by the wall clock, ``phases_s`` mean seconds of one iteration (NaN where the framework cannot
    tell), ``start_s`` the seconds from the process's start to the end of the warm-up, ``other_load`` the cores that other
    processes kept busy just before, ``slow_paths`` what a port's training left to its framework's own, slower way, and why.

    ``open_s`` is the part of ``start_s`` before the first iteration. ``conditions`` has what training ran under, read from the
    process after it, and ``module_devices`` where every module's parameters really were. A round with its ``phases``
    measured is no round of the headline: its hooks cost time. ``at`` is its point of a sweep, ``without`` the part of the
    user's own in whose place the framework's standard one stood; ``replaceable`` are all such parts.
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
    slow_paths: list[str] = []
    open_s: Number | None = None
    at: dict[str, int] = {}
    without: str | None = None
    phases: dict[str, PhaseTime] = {}
    evaluated_steps_per_s: Number | None = None
    module_devices: dict[str, str] = {}
    conditions: dict[str, Any] = {}
    replaceable: list[str] = []
    learning_modules: int = 1
    gpu: GpuUse | None = None


class Throughput(Stored):
    """One framework: medians over its rounds; ``rounds`` has every round's environment steps per second.

    ``rows_per_s``: rows of a rollout times epochs, over the seconds of the update. ``of_limit``: its environment steps per
    second over those of ``limit``, or of ``limit_of_port`` where several of its modules learn;
    null where there is none. ``phases`` are those of the round that measured them.
    """

    env_steps_per_s: Number
    rounds: list[Number]
    phases_s: PhaseSeconds
    start_s: Number
    device: str
    threads: int
    peak_memory_mb: Number
    rows_per_s: Number | None = None
    of_limit: Number | None = None
    phases: dict[str, PhaseTime] = {}
    evaluated_steps_per_s: Number | None = None
    open_s: Number | None = None
    gpu: GpuUse | None = None

    def phase_s(self, phase: str) -> float:
        """Mean seconds of one iteration in a phase; 0 also where the bench is older than the phase."""
        return self.phases[phase].wall_s if phase in self.phases else 0.0


class Ratio(Stored):
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


class Condition(Stored):
    """One line of the fairness table: what each framework trained under."""

    name: str
    values: dict[str, Any]
    differs: bool


class SweepPoint(Stored):
    """One framework at one value of what was varied: median environment steps per second, and those of every round."""

    name: str
    value: int
    framework: str
    env_steps_per_s: Number
    rounds: list[Number]


class TaskBench(Stored):
    """One task: ``throughput`` by framework, ``ratio`` by pair, as in ``"rllib/sb3"``.

    ``limit``: the task's environments, one batched forward pass a step and the update's mathematics, with nothing around
    them; null where it was not measured, for ``limit_reason``. ``limit_of_port``: the same of the port's environment, where
    several of its agents learn, which SB3's model does not. ``fairness``: conditions side by side.
    """

    throughput: dict[str, Throughput] = {}
    ratio: dict[str, Ratio] = {}
    limit: Throughput | None = None
    limit_of_port: Throughput | None = None
    limit_reason: str | None = None
    fairness: list[Condition] = []
    findings: list[Finding] = []
    sweep: list[SweepPoint] = []


class BenchRequest(Stored):
    """What was asked; ``rounds`` of ``iterations`` each, after ``warmup`` iterations that do not count.

    ``at``: values of `parity.bench.variations` that everything is measured at, in place of the task's own.
    """

    tasks: list[str]
    task_arguments: list[str]
    frameworks: list[str]
    rounds: int
    iterations: int
    warmup: int
    device: str
    threads: int
    sweep: dict[str, list[int]] = {}
    at: dict[str, int] = {}
    details: bool = True


class BenchFile(TaskBench):
    """The whole of ``bench.json``. One task stands at the top; of several, each stands under ``tasks``.

    ``reason`` says why it was not measured to its end, null where it was; ``measured`` has all rounds, as they came.
    ``effective`` is what every framework said beforehand that it would run, by task and framework. The other lists are
    rounds beside the headline: with phases, of the limit, of a sweep, and with parts of the port exchanged.
    ``without_limit`` says of a task why it has no limit, ``not_measured`` what else beside the
    headline could not be had, and why.
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
    effective: dict[str, dict[str, EffectiveConfig]] = {}
    profiled: list[Round] = []
    limits: list[Round] = []
    swept: list[Round] = []
    exchanged: list[Round] = []
    without_limit: dict[str, str] = {}
    not_measured: list[str] = []

    def by_task(self) -> dict[str, TaskBench]:
        return self.tasks or {self.request.tasks[0]: self}


class TaskRounds(Strict):
    """What a baseline keeps of one task: the rates of every round, by what was asked and on which machine.

    ``rounds``: environment steps per second of every round, by framework; rounds of one place are a pair.
    """

    rounds: dict[str, list[Number]]
    asked: dict[str, Any]
    machine: dict[str, Any]

    @property
    def ports(self) -> list[str]:
        """Frameworks that can be compared with SB3."""
        return [name for name in self.rounds if name != SB3] if SB3 in self.rounds else []

    def ratios(self, port: str) -> list[float]:
        """Rate of the port over that of SB3, round by round; empty where it was not measured."""
        pairs = zip(self.rounds.get(port, []), self.rounds.get(SB3, []), strict=False)
        return [a / b for a, b in pairs if b > 0]


def find_bench(name: str, out: Path) -> Path | None:
    """A folder with a ``bench.json``, or the name of one under ``out``; None where there is none."""
    return next((folder for folder in (Path(name), out / name) if (folder / BENCH_FILE).is_file()), None)


def list_benches(out: Path) -> list[Path]:
    """Folders of benches under ``out`` that are no studies, by name."""
    folders = (path.parent for path in out.glob(f"*/{BENCH_FILE}"))
    return sorted(folder for folder in folders if not (folder / STUDY_FILE).is_file())


def load_bench_file(path: Path) -> BenchFile:
    """Reads a ``bench.json`` that ``parity bench`` wrote.

    Raises:
        CannotStart: there is none, or it cannot be read.
    """
    return read_json(path, BenchFile, "measure again")
