"""``parity plan``: study designs that reach a power, the drops that they would detect, and their time on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import mean

import numpy as np
from rich.console import Console
from rich.progress import track

from parity import frameworks
from parity.errors import CannotStart
from parity.plan import standard_deviation, wall_time
from parity.plan.options import MOST_SIMULATED, PlanOptions
from parity.results.plan import Design, Deviation, Plan, Rates, Sequential
from parity.results.study import StudyRecord, find_study, load_study
from parity.results.summary import Verdict
from parity.task import suites
from parity.task.registry import resolve
from parity.task.task_table import measured
from parity.verdict.learning import LEAST_SEEDS
from parity.verdict.power import seeds_for
from parity.verdict.sequential import DEFAULT_LOOKS
from parity.verdict.simulation import (
    METRIC_CORRELATION,
    normal_runs,
    rates,
    seeds_by_simulation,
    sequential_verdicts,
    verdict_rates,
)
from parity.verdict.statistics import ALPHA

DROPS = (0.0, 0.1, 0.2, 0.5)
NUMBERS_OF_TASKS = (1, 2, 4, 6)
FRAMEWORKS = ("sb3", "rllib")
MARGIN = 0.15

# Names of tasks, or how many there are; the deviation of each.
_Tasks = tuple[list[str] | int, list[Deviation]]
# The same, and the seeds that were asked for.
_Group = tuple[list[str] | int, list[Deviation], int | None]


def make_plan(options: PlanOptions) -> Plan:
    """Computes and simulates designs, with fixed seeds, so that the same options give the same plan.

    Raises:
        CannotStart: options that exclude one another, an unknown task, suite, framework or study.
    """
    _check(options)
    suite = suites.find(options.suite, "--suite") if options.suite is not None else None
    study = load_study(find_study(options.study, options.out)) if options.study is not None else None
    names = _names(options, suite, study)
    if options.frameworks is not None:
        frameworks.check_names(options.frameworks)
    arms = options.frameworks or (study.file.request.frameworks if study else list(FRAMEWORKS))
    margin = options.margin or (min(task.margin for task in study.file.tasks.values()) if study else MARGIN)
    if options.sd is not None:
        deviations = [
            standard_deviation.of_both_metrics(options.sd, name, "given with --sd") for name in names or (None,)
        ]
    elif names is None:
        deviations = [standard_deviation.assumed(None)]
    else:
        deviations = standard_deviation.from_study(study, names) if study else standard_deviation.from_measured(names)
    seconds, measured_on = _seconds(study, names, arms)
    groups = _groups(names, deviations, options.seeds or (suite.seeds if suite else None))
    designs = [
        _design(margin, options.power, tasks, of_tasks, seeds, arms, seconds)
        for tasks, of_tasks, seeds in track(groups, "Simulating studies", console=Console(stderr=True), transient=True)
    ]
    return Plan(
        margin=margin,
        power=options.power,
        alpha=ALPHA,
        correlation=METRIC_CORRELATION,
        frameworks=list(arms),
        deviations=deviations,
        designs=designs,
        machine=wall_time.this_machine(measured_on),
    )


def _check(options: PlanOptions) -> None:
    if options.sd is not None and options.study is not None:
        raise CannotStart("--sd and --from both say how much runs vary: leave one out.")
    if options.suite is not None and options.task is not None:
        raise CannotStart("--suite names its tasks by itself: leave out --task.")


def _names(options: PlanOptions, suite: suites.Suite | None, study: StudyRecord | None) -> list[str] | None:
    if suite is not None:
        return list(suite.tasks)
    if options.task is not None:
        for name in [] if study else options.task:
            resolve(name)
        return options.task
    return list(study.file.request.tasks) if study else None


def _groups(names: list[str] | None, deviations: list[Deviation], asked: int | None) -> list[_Group]:
    """The designs to compute: named tasks together and each alone, or numbers of tasks; first with the seeds asked for."""
    together: list[_Tasks] = [(names, deviations)] if names else [(number, deviations) for number in NUMBERS_OF_TASKS]
    alone: list[_Tasks] = []
    if names and len(names) > 1:
        alone = [([name], [each]) for name, each in zip(names, deviations, strict=True)]
    return [(*tasks, asked) for tasks in together if asked] + [(*tasks, None) for tasks in together + alone]


def _design(
    margin: float,
    power: float,
    tasks: list[str] | int,
    deviations: Sequence[Deviation],
    asked: int | None,
    arms: Sequence[str],
    seconds: wall_time.Seconds,
) -> Design:
    names = tasks if isinstance(tasks, list) else None
    number = len(tasks) if isinstance(tasks, list) else tasks
    sd = standard_deviation.pooled(deviations)
    formula = seeds_for(margin, sd, power=power, tasks=number)
    seeds = asked or _needed(margin, sd, power, number, formula)
    design = Design(
        why="asked" if asked else "needed", tasks=number, names=names, deviation=sd, seeds=seeds, formula_seeds=formula
    )
    if seeds is not None:
        design.rates = _rates(margin, sd, number, seeds)
        design.time = wall_time.of_study(names or [""] * number, arms, seeds, seconds)
        design.sequential = _sequential(margin, sd, number)
    return design


@cache
def _needed(margin: float, sd: float, power: float, tasks: int, formula: int | None) -> int | None:
    if formula is None:
        return None
    simulated = seeds_by_simulation(margin, sd, power, tasks) if formula <= MOST_SIMULATED else formula
    return None if simulated is None else max(simulated, LEAST_SEEDS)  # fewer cannot say LEARNS


@cache
def _rates(margin: float, sd: float, tasks: int, seeds: int) -> list[Rates]:
    studies = 4000 if seeds <= MOST_SIMULATED else 400
    shares = {drop: verdict_rates(seeds, margin, sd, -drop, tasks, studies=studies) for drop in DROPS}
    return [Rates(drop=drop, **{verdict.lower(): rate for verdict, rate in of.items()}) for drop, of in shares.items()]


@cache
def _sequential(margin: float, sd: float, tasks: int) -> Sequential:
    rng = np.random.default_rng(0)
    reference, port = (normal_runs(rng, 0.0, sd, (1000, tasks, DEFAULT_LOOKS[-1])) for _ in range(2))
    verdicts, seeds = sequential_verdicts(reference, port, margin)
    return Sequential(
        looks=list(DEFAULT_LOOKS), equivalent=rates(verdicts)[Verdict.EQUIVALENT], mean_seeds=float(seeds.mean())
    )


def _seconds(
    study: StudyRecord | None, names: list[str] | None, arms: Sequence[str]
) -> tuple[wall_time.Seconds, list[str]]:
    """Of a trial; of unnamed tasks the mean over all that are measured, under the empty name."""
    if study is not None:
        return wall_time.from_study(study)
    if names is not None:
        return wall_time.from_measured(names)
    seconds, machines = wall_time.from_measured(list(measured()))
    known = {name: [each for (_, of), each in seconds.items() if of == name] for name in arms}
    return {("", name): mean(each) for name, each in known.items() if each}, machines
