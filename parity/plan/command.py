"""``parity plan``: the designs that reach a power, what else they would see, and their time here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import mean

import numpy as np
from rich.console import Console
from rich.progress import track

from parity import frameworks
from parity.errors import CannotStart
from parity.plan import deviation, duration
from parity.results.plan import Design, Deviation, Plan, Rates, Sequential
from parity.results.study import StudyRecord, find_study, load_study
from parity.results.summary import Verdict
from parity.task import suites
from parity.task.registry import resolve
from parity.task.task_table import measured
from parity.verdict.learning import LEAST_SEEDS
from parity.verdict.many import rates, sequential_verdicts
from parity.verdict.plan import (
    METRIC_CORRELATION,
    normal_runs,
    seeds_by_simulation,
    seeds_for,
    verdict_rates,
)
from parity.verdict.sequential import DEFAULT_LOOKS
from parity.verdict.statistics import ALPHA

DROPS = (0.0, 0.1, 0.2, 0.5)
NUMBERS_OF_TASKS = (1, 2, 4, 6)
FRAMEWORKS = ("sb3", "rllib")
MARGIN = 0.15
# Above it a simulation takes seconds, and nobody trains so many.
MOST_SIMULATED = 60


@dataclasses.dataclass(frozen=True)
class Request:
    """The options of ``parity plan``; None where they are left out."""

    margin: float | None
    power: float
    sd: float | None
    study: str | None
    tasks: list[str] | None
    suite: str | None
    frameworks: list[str] | None
    seeds: int | None
    out: Path


def make_plan(request: Request) -> Plan:
    """Computes and simulates; with fixed seeds, so that the same question has the same answer.

    Raises:
        CannotStart: options that exclude one another, an unknown task, suite, framework or study, a number out of range.
    """
    _check(request)
    suite = suites.find(request.suite, "--suite") if request.suite is not None else None
    study = load_study(find_study(request.study, request.out)) if request.study is not None else None
    names = _names(request, suite, study)
    if request.frameworks is not None:
        frameworks.check_names(request.frameworks)
    arms = request.frameworks or (study.file.request.frameworks if study else list(FRAMEWORKS))
    margin = request.margin or (min(task.margin for task in study.file.tasks.values()) if study else MARGIN)
    if names is None:
        sd = request.sd if request.sd is not None else deviation.ASSUMED
        source = "given with --sd" if request.sd is not None else deviation.ASSUMED_WORDS
        deviations = [deviation.given(sd, None, source)]
    elif request.sd is not None:
        deviations = [deviation.given(request.sd, name, "given with --sd") for name in names]
    else:
        deviations = deviation.from_study(study, names) if study else deviation.from_measured(names)
    seconds, measured_on = _seconds(study, names, arms)
    wanted = _wanted(names, deviations, request.seeds or (suite.seeds if suite else None))
    designs = [
        _design(why, margin, request.power, of, tasks, seeds, arms, seconds)
        for why, of, tasks, seeds in track(wanted, "Simulating studies", console=Console(stderr=True), transient=True)
    ]
    return Plan(
        margin=margin,
        power=request.power,
        alpha=ALPHA,
        correlation=METRIC_CORRELATION,
        frameworks=list(arms),
        deviations=deviations,
        designs=designs,
        machine=duration.here(measured_on),
    )


def _check(request: Request) -> None:
    if request.margin is not None and not 0 < request.margin < 1:
        raise CannotStart(f"--margin {request.margin:g}: a share of the normalised score between 0 and 1, as 0.15.")
    if not 0 < request.power < 1:
        raise CannotStart(f"--power {request.power:g}: a probability between 0 and 1, as 0.8.")
    if request.sd is not None and not 0 < request.sd < 10:
        raise CannotStart(f"--sd {request.sd:g}: a deviation of the normalised score above 0 and below 10, as 0.1.")
    if request.sd is not None and request.study is not None:
        raise CannotStart("--sd and --from both say how much runs vary: leave one out.")
    if request.suite is not None and request.tasks is not None:
        raise CannotStart("--suite names its tasks by itself: leave out --task.")
    if request.seeds is not None and not 2 <= request.seeds <= MOST_SIMULATED:
        raise CannotStart(f"--seeds {request.seeds}: a number of seeds from 2 to {MOST_SIMULATED}.")


def _names(request: Request, suite: suites.Suite | None, study: StudyRecord | None) -> list[str] | None:
    if suite is not None:
        return list(suite.tasks)
    if request.tasks is not None:
        if not request.tasks or len(set(request.tasks)) != len(request.tasks):
            raise CannotStart("--task: name at least one, and none twice.")
        for name in request.tasks:
            if study is None:
                resolve(name)
        return request.tasks
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
