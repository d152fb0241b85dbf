"""``parity bench`` from options to exit code: rounds of fresh processes, one framework after the other."""

from __future__ import annotations

import contextlib
import shlex
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from parity.bench.judge import conclude
from parity.bench.measure import Work, measure
from parity.bench.options import BenchOptions, sweeps
from parity.bench.sentence import LIMIT, LIMIT_OF_PORT
from parity.bench.show import show
from parity.bench.variations import concerns
from parity.errors import CannotStart, Interrupted, in_short
from parity.results import study as files
from parity.results.bench import BENCH_FILE, BenchFile, BenchRequest, Round, find_bench, load_bench_file
from parity.results.writing import write_text
from parity.study.preflight import inspect
from parity.system import machine
from parity.system.console import progress, say
from parity.system.ray_process import run_with_ray
from parity.system.ray_session import end_if_it_died, ended_with_ray
from parity.system.subprocesses import run_in_subprocess
from parity.task.registry import TaskRef, resolve

LOG_FILE = "bench.log"
# Their medians have no interval: they show how far off something is, not which of two is faster.
LIMIT_ROUNDS, SWEEP_ROUNDS, EXCHANGE_ROUNDS = 3, 2, 2


Page = Callable[[Path, BenchFile], Path]


def run_bench(options: BenchOptions, resume: str | None, as_json: bool, write_page: Page) -> int:
    """Measures, writes ``bench.json`` after every round, prints the result. Returns the exit code.

    Args:
        write_page: writes the page of a bench into its folder and returns where it is.

    Raises:
        CannotStart: bad input.
        Interrupted: Ctrl-C; the rounds that are done stay, and ``--resume`` measures the rest.
    """
    folder, file, refs = _begin(options) if resume is None else _resume(resume, options.out)

    def done() -> str:
        return f"{len(load_bench_file(folder / BENCH_FILE).measured)} measurements are done"

    try:
        file = run_with_ray(_measure_all, folder, refs, options.timeout, about=f"Bench {folder}", unfinished=done)
    except (Interrupted, KeyboardInterrupt) as error:
        _store(folder, load_bench_file(folder / BENCH_FILE), "it was interrupted")
        what = error if isinstance(error, Interrupted) else done()
        raise Interrupted(f"{what}; finish with: parity bench --resume {shlex.quote(str(folder))}") from None
    return finish(folder, file, as_json, write_page)


def finish(folder: Path, file: BenchFile, as_json: bool, write_page: Page) -> int:
    """Judges what was measured, stores and prints it. Returns the exit code."""
    conclude(file)
    _store(folder, file, file.reason)
    if as_json:
        print(file.to_json(), end="")
    show(file)
    say(file.sentence)
    say(f"All rounds: {folder / BENCH_FILE}; as a page: {write_page(folder, file)}")
    return file.exit_code


def _begin(options: BenchOptions) -> tuple[Path, BenchFile, dict[str, TaskRef]]:
    study = files.find_study(options.study, options.out) if options.study is not None else None
    if study is not None and (study / BENCH_FILE).exists():
        raise CannotStart(f"--study {options.study}: it has a {BENCH_FILE}; delete it to measure again.")
    arguments = options.task or []
    preflight = inspect(
        arguments, options.frameworks, None, options.device, options.threads, options.timeout, variants=True
    )
    tasks = list(preflight.tasks)
    if study is not None and (unknown := set(tasks) - set(files.load_study(study).file.request.tasks)):
        raise CannotStart(f"--study {options.study}: it has no task {', '.join(sorted(unknown))}; choose with --task.")
    created = files.now()
    folder = study or _new_folder(options, f"{created[:10]}-bench-{'-'.join(tasks)}")
    asked = options.model_dump(include={"frameworks", "rounds", "iterations", "warmup", "threads", "details"})
    asked |= {"sweep": sweeps(options.sweep), "at": _single(sweeps(options.at))}
    request = BenchRequest(tasks=tasks, task_arguments=arguments, device=preflight.device, **asked)
    file = BenchFile(
        created=created,
        request=request,
        versions=preflight.versions,
        machine=preflight.machine,
        effective={name: record.frameworks for name, record in preflight.tasks.items()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    _store(folder, file, "it is not finished")
    return folder, file, preflight.refs


def _single(values: dict[str, list[int]]) -> dict[str, int]:
    for name, several in values.items():
        if len(several) > 1:
            raise CannotStart(f"--at {name}: give one value; --sweep takes several.")
    return {name: value for name, (value,) in values.items()}


def _new_folder(options: BenchOptions, default: str) -> Path:
    if options.name is not None and (options.out / options.name).exists():
        raise CannotStart(f"--name {options.name}: it exists already; choose another name, or --resume {options.name}.")
    return options.out / (options.name or files.free_name(options.out, default[:80]))


def _resume(name: str, out: Path) -> tuple[Path, BenchFile, dict[str, TaskRef]]:
    folder = find_bench(name, out)
    if folder is None:
        raise CannotStart(f"--resume {name}: there is no {BENCH_FILE}, neither in that folder nor under {out}/.")
    file = load_bench_file(folder / BENCH_FILE)
    here = machine.describe(file.machine.get("gpu"))
    if here != file.machine:
        raise CannotStart(f"--resume {name}: it was begun on another machine or system; figures of two are not mixed.")
    refs = map(resolve, file.request.task_arguments)
    return folder, file, dict(zip(file.request.tasks, refs, strict=True))


def _measure_all(folder: Path, refs: dict[str, TaskRef], timeout: float) -> BenchFile:
    """Measures what is not measured yet."""
    from parity.study.runner import opened_ray

    file = load_bench_file(folder / BENCH_FILE)
    file.reason, file.not_measured = None, []
    first = list(_left(file))
    if not any(True for works in (first, _limits_of_ports(file), _exchanges(file)) for _ in works):
        return file
    with (
        opened_ray(refs.values(), cores=_processes(file.request)) as address,
        ended_with_ray(),
        _progress(len(first)) as advance,
    ):
        # What is exchanged, and that several agents learn, is known when all else is measured.
        for works in (first, _limits_of_ports(file), _exchanges(file)):
            for work in works:
                if work.framework in (LIMIT, LIMIT_OF_PORT) and work.task in file.without_limit:
                    continue
                advance(_label(work, file.request))
                try:
                    about = f"{work.framework} on {work.task}"
                    arguments = (refs[work.task], work, file.request, address)
                    measured = run_in_subprocess(measure, *arguments, about=about, timeout=timeout)
                except Exception as error:
                    end_if_it_died()  # what it failed of would count as the framework's
                    if not _is_taken(error, work, file, folder):
                        return file
                else:
                    _list_of(work, file).append(measured)
                _store(folder, file, "it is not finished")
    return file


def _processes(request: BenchRequest) -> float:
    """Cores that Ray must offer for the largest point of a sweep, however few there are."""
    runners, learners = (
        max([request.at.get(name, 0), *request.sweep.get(name, [])]) for name in ("env_runners", "learners")
    )
    return 1.0 + runners + learners


def _is_taken(error: Exception, work: Work, file: BenchFile, folder: Path) -> bool:
    """Whether the bench goes on after what a round raised, which is then said in its file."""
    if work.framework in (LIMIT, LIMIT_OF_PORT) and not work.at:
        file.without_limit[work.task] = in_short(error)
        return True
    if work.phases or work.at or work.exchange:
        # What stands beside the headline does not spoil it: a port need not run with RLlib's standard parts, nor everywhere.
        file.not_measured.append(f"{_label(work, file.request)}: {in_short(error)}")
        return True
    if isinstance(error, CannotStart):
        raise error
    write_text(folder / LOG_FILE, "".join(traceback.format_exception(error)))
    file.reason = f"{work.framework} raised on {work.task}: {in_short(error)}"
    return False


def _list_of(work: Work, file: BenchFile) -> list[Round]:
    if work.at:
        return file.swept
    if work.framework in (LIMIT, LIMIT_OF_PORT):
        return file.limits
    if work.phases:
        return file.profiled
    return file.exchanged if work.exchange else file.measured


def _left(file: BenchFile) -> Iterator[Work]:
    """What is still to be measured, but for exchanges."""
    for work in _waiting(file):
        done = [(each.task, each.framework, each.round, each.at, each.without) for each in _list_of(work, file)]
        if (work.task, work.framework, work.round, work.at, work.without) not in done:
            yield work


def _waiting(file: BenchFile) -> Iterator[Work]:
    """Frameworks alternate, and so does which is first: a machine that grows slower over time slows each as much."""
    asked = file.request
    for round_ in range(asked.rounds):
        for task in asked.tasks:
            for framework in asked.frameworks[:: -1 if round_ % 2 else 1]:
                yield Work(task, framework, round_)
            if asked.details and round_ < LIMIT_ROUNDS:
                yield Work(task, LIMIT, round_)
    for task in asked.tasks if asked.details else ():
        for framework in asked.frameworks:
            yield Work(task, framework, 0, phases=True)
    for name, values in asked.sweep.items():
        for round_ in range(min(asked.rounds, SWEEP_ROUNDS)):
            for task in asked.tasks:
                for value in values:
                    for framework in (*asked.frameworks, *([LIMIT] if asked.details else [])):
                        if concerns(name, framework):
                            yield Work(task, framework, round_, at={name: value})


def _limits_of_ports(file: BenchFile) -> Iterator[Work]:
    several = dict.fromkeys(each.task for each in file.profiled if each.learning_modules > 1)
    for round_ in range(min(file.request.rounds, LIMIT_ROUNDS)):
        for task in several:
            done = [(each.task, each.framework, each.round) for each in file.limits]
            if task not in file.without_limit and (task, LIMIT_OF_PORT, round_) not in done:
                yield Work(task, LIMIT_OF_PORT, round_)


def _exchanges(file: BenchFile) -> Iterator[Work]:
    """Pairs of rounds with the port as it is and with RLlib's standard part in the place of each of its own."""
    done = {(each.task, each.framework, each.round, each.without) for each in file.exchanged}
    for profiled in list(file.profiled):
        for round_ in range(EXCHANGE_ROUNDS if profiled.replaceable else 0):
            for part in (None, *profiled.replaceable):
                if (profiled.task, profiled.framework, round_, part) not in done:
                    yield Work(profiled.task, profiled.framework, round_, without=part, exchange=True)


def _label(work: Work, request: BenchRequest) -> str:
    about = f"{work.task}/{work.framework}"
    at = "".join(f", {name}={value}" for name, value in work.at.items())
    if work.phases:
        return f"{about}, phases"
    if work.exchange:
        return f"{about}, {'as it is' if work.without is None else f'without {work.without}'}"
    return f"{about}{at}, round {work.round + 1} of {request.rounds}"


def _store(folder: Path, file: BenchFile, reason: str | None) -> None:
    text = file.model_copy(update={"reason": reason}).to_json()
    write_text(folder / BENCH_FILE, text)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yields a function that announces the next measurement: a bar on a terminal, a line elsewhere."""
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with progress(*columns) as bar:
        line = bar.add_task("", total=total, completed=-1)

        def begins(what: str) -> None:
            bar.update(line, advance=1, description=what)
            if bar.disable:
                say(what)

        yield begins
