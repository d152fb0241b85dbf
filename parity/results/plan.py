"""What ``parity plan --json`` prints. Deviations, margins and drops are in normalised score, times in seconds."""

from __future__ import annotations

from typing import Literal

from parity.results.model import Stored


class Deviation(Stored):
    """Standard deviation of a run within a framework, by task; ``source`` says where it comes from.

    ``runs`` is the number of runs behind it, 0 where it is assumed. On ten runs such a figure is uncertain by a quarter.
    """

    task: str | None
    final: float
    auc: float
    runs: int
    source: str


class Time(Stored):
    """Wall-clock time of a design on this machine, an estimate; ``seconds`` is null where a task has no measured time."""

    seconds: float | None
    trials: int
    unmeasured: list[str] = []


class Rates(Stored):
    """How often a study of this design ends with each verdict where the port truly scores lower by ``drop``: simulated."""

    drop: float
    equivalent: float
    worse: float
    better: float
    inconclusive: float


class Sequential(Stored):
    """The same tasks with ``--sequential``, where frameworks do not differ: simulated."""

    looks: list[int]
    equivalent: float
    mean_seeds: float


class Design(Stored):
    """``seeds`` per framework and task on ``tasks`` tasks, of ``names`` where they were named.

    ``why``: ``"asked"`` for a number of seeds that was given, ``"needed"`` for the fewest that reach the power in both
    primary metrics, by simulation (above 60 seeds by the formula), and never under the three that LEARNS takes. ``seeds``
    is null where no affordable number does. ``formula_seeds`` are the fewest by the formula, which is for one metric.
    """

    why: Literal["asked", "needed"]
    tasks: int
    names: list[str] | None
    deviation: float
    seeds: int | None
    formula_seeds: int | None
    rates: list[Rates] = []
    time: Time | None = None
    sequential: Sequential | None = None


class Machine(Stored):
    """``measured_on``: the machines that times come from; ``same`` where that is this one alone."""

    this: str
    measured_on: list[str]
    same: bool
    side_by_side: int


class Plan(Stored):
    """The whole document."""

    schema_version: Literal[1] = 1
    margin: float
    power: float
    alpha: float
    correlation: float
    frameworks: list[str]
    deviations: list[Deviation]
    designs: list[Design]
    machine: Machine
