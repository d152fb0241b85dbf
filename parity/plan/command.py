"""``parity plan``: the designs that reach a power, what else they would see, and their time here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import mean

import numpy as np
from rich.console import Console
from rich.progress import track

from parity import frameworks
from parity.errors import CannotStart
from parity.plan import deviation, duration
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


def make_plan(options: PlanOptions) -> Plan:
    """Computes and simulates; with fixed seeds, so that the same question has the same answer.

    Raises:
        CannotStart: options that exclude one another, an unknown task, suite, framework or study, a number out of range.
    """
    _check(options)
    suite = suites.find(options.suite, "--suite") if options.suite is not None else None
    study = load_study(find_study(options.study, options.out)) if options.study is not None else None
    names = _names(options, suite, study)
    if options.frameworks is not None:
        frameworks.check_names(options.frameworks)
    arms = options.frameworks or (study.file.request.frameworks if study else list(FRAMEWORKS))
    margin = options.margin or (min(task.margin for task in study.file.tasks.values()) if study else MARGIN)
    if names is None:
        sd = options.sd if options.sd is not None else deviation.ASSUMED
        source = "given with --sd" if options.sd is not None else deviation.ASSUMED_WORDS
        deviations = [deviation.given(sd, None, source)]
    elif options.sd is not None:
        deviations = [deviation.given(options.sd, name, "given with --sd") for name in names]
    else:
        deviations = deviation.from_study(study, names) if study else deviation.from_measured(names)
    seconds, measured_on = _seconds(study, names, arms)
    wanted = _wanted(names, deviations, options.seeds or (suite.seeds if suite else None))
    designs = [
        _design(why, margin, options.power, of, tasks, seeds, arms, seconds)
        for why, of, tasks, seeds in track(wanted, "Simulating studies", console=Console(stderr=True), transient=True)
    ]
    return Plan(
        margin=margin,
        power=options.power,
        alpha=ALPHA,
        correlation=METRIC_CORRELATION,
        frameworks=list(arms),
        deviations=deviations,
        designs=designs,
        machine=duration.here(measured_on),
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
        for name in options.task:
            if study is None:
                resolve(name)
        return options.task
    return list(study.file.request.tasks) if study else None


Wanted = tuple[str, Sequence[Deviation], list[str] | int, int | None]


def _wanted(names: list[str] | None, deviations: list[Deviation], asked: int | None) -> list[Wanted]:
    """``(why, deviations of its tasks, its tasks or how many, seeds where they were asked)`` of every design."""
    if names is None:
        wanted: list[Wanted] = [("needed", deviations, number, None) for number in NUMBERS_OF_TASKS]
        return [("asked", deviations, number, asked) for number in NUMBERS_OF_TASKS if asked] + wanted
    whole: list[Wanted] = [("needed", deviations, names, None)]
    if asked:
        whole.insert(0, ("asked", deviations, names, asked))
    if len(names) == 1:
        return whole
    return whole + [("needed", [each], [name], None) for name, each in zip(names, deviations, strict=True)]


def _design(
    why: str,
    margin: float,
    power: float,
    of: Sequence[Deviation],
    tasks: list[str] | int,
    asked: int | None,
    arms: Sequence[str],
    seconds: duration.Seconds,
) -> Design:
    names = tasks if isinstance(tasks, list) else None
    number = len(tasks) if isinstance(tasks, list) else tasks
    sd = deviation.together(of)
    formula = seeds_for(margin, sd, power=power, tasks=number)
    seeds = asked or _needed(margin, sd, power, number, formula)
    design = Design(
        why="asked" if why == "asked" else "needed",
        tasks=number,
        names=names,
        deviation=sd,
        seeds=seeds,
        formula_seeds=formula,
    )
    if seeds is None:
        return design
    return design.model_copy(
        update={
            "rates": _rates(margin, sd, number, seeds),
            "time": duration.of_design(names or [""] * number, arms, seeds, seconds),
            "sequential": _sequential(margin, sd, number),
        }
    )


@cache
def _needed(margin: float, sd: float, power: float, tasks: int, formula: int | None) -> int | None:
    if formula is None:
        return None
    simulated = seeds_by_simulation(margin, sd, power, tasks) if formula <= MOST_SIMULATED else formula
    return None if simulated is None else max(simulated, LEAST_SEEDS)  # fewer cannot say LEARNS


@cache
def _rates(margin: float, sd: float, tasks: int, seeds: int) -> list[Rates]:
    studies = 4000 if seeds <= MOST_SIMULATED else 400
    said = [verdict_rates(seeds, margin, sd, -drop, tasks, studies=studies) for drop in DROPS]
    return [
        Rates(drop=drop, **{verdict.lower(): share for verdict, share in each.items()})
        for drop, each in zip(DROPS, said, strict=True)
    ]


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
) -> tuple[duration.Seconds, list[str]]:
    """Of a trial; of unnamed tasks the mean over all that are measured, under the empty name."""
    if study is not None:
        return duration.from_study(study)
    if names is not None:
        return duration.from_measured(names)
    seconds, machines = duration.from_measured(list(measured()))
    known = {name: [each for (_, of), each in seconds.items() if of == name] for name in arms}
    return {("", name): mean(each) for name, each in known.items() if each}, machines
