"""``parity bench`` from options to exit code: rounds of fresh processes, one framework after the other."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from parity.bench.judge import conclude
from parity.bench.measure import measure
from parity.bench.options import BenchOptions
from parity.errors import CannotStart, Interrupted, in_short
from parity.results import study as files
from parity.results.bench import BENCH_FILE, BenchFile, BenchRequest, load_bench_file
from parity.results.writing import write_text
from parity.study.preflight import inspect
from parity.system import machine
from parity.system.console import console, progress, say
from parity.system.subprocesses import run_in_subprocess
from parity.task.registry import TaskRef, resolve

LOG_FILE = "bench.log"


def run_bench(options: BenchOptions, resume: str | None, as_json: bool) -> int:
    """Measures, writes ``bench.json`` after every round, prints the result. Returns the exit code.

    Raises:
        CannotStart: bad input.
        Interrupted: Ctrl-C; the rounds that are done stay, and ``--resume`` measures the rest.
    """
    folder, file, refs = _begin(options) if resume is None else _resume(resume, options.out)
    try:
        _measure_all(folder, file, refs, options.timeout)
    except KeyboardInterrupt:
        _store(folder, file, "it was interrupted")
        raise Interrupted(
            f"{len(file.measured)} measurements are done; finish with: parity bench --resume {folder}"
        ) from None
    conclude(file)
    _store(folder, file, file.reason)
    if as_json:
        print(file.to_json(), end="")
    _show(file)
    say(file.sentence)
    say(f"All rounds: {folder / BENCH_FILE}")
    return file.exit_code


def _begin(options: BenchOptions) -> tuple[Path, BenchFile, dict[str, TaskRef]]:
    study = files.find_study(options.study, options.out) if options.study is not None else None
    if study is not None and (study / BENCH_FILE).exists():
        raise CannotStart(f"--study {options.study}: it has a {BENCH_FILE}; delete it to measure again.")
    arguments = options.task or []
    preflight = inspect(arguments, options.frameworks, None, options.device, options.threads, options.timeout)
    tasks = list(preflight.tasks)
    if study is not None and (unknown := set(tasks) - set(files.load_study(study).file.request.tasks)):
        raise CannotStart(f"--study {options.study}: it has no task {', '.join(sorted(unknown))}; choose with --task.")
    created = files.now()
    folder = study or _new_folder(options, f"{created[:10]}-bench-{'-'.join(tasks)}")
    asked = options.model_dump(include={"frameworks", "rounds", "iterations", "warmup", "threads"})
    request = BenchRequest(tasks=tasks, task_arguments=arguments, device=preflight.device, **asked)
    file = BenchFile(created=created, request=request, versions=preflight.versions, machine=preflight.machine)
    folder.mkdir(parents=True, exist_ok=True)
    return folder, file, preflight.refs


def _new_folder(options: BenchOptions, default: str) -> Path:
    if options.name is not None and (options.out / options.name).exists():
        raise CannotStart(f"--name {options.name}: it exists already; choose another name, or --resume {options.name}.")
    return options.out / (options.name or files.free_name(options.out, default[:80]))


def _resume(name: str, out: Path) -> tuple[Path, BenchFile, dict[str, TaskRef]]:
    folder = next((path for path in (Path(name), out / name) if (path / BENCH_FILE).is_file()), None)
    if folder is None:
        raise CannotStart(f"--resume {name}: there is no {BENCH_FILE}, neither in that folder nor under {out}/.")
    file = load_bench_file(folder / BENCH_FILE)
    here = machine.describe(file.machine.get("gpu"))
    if here != file.machine:
        raise CannotStart(f"--resume {name}: it was begun on another machine or system; figures of two are not mixed.")
    refs = map(resolve, file.request.task_arguments)
    return folder, file, dict(zip(file.request.tasks, refs, strict=True))


def _measure_all(folder: Path, file: BenchFile, refs: dict[str, TaskRef], timeout: float) -> None:
    from parity.study.runner import opened_ray

    file.reason = None
    waiting = list(_waiting(file))
    if not waiting:
        return
    with opened_ray(refs.values()) as address, _progress(len(waiting)) as advance:
        for round_, task, framework in waiting:
            advance(f"{task}/{framework}, round {round_ + 1} of {file.request.rounds}")
            work = (refs[task], task, framework, round_, file.request, address)
            try:
                file.measured.append(run_in_subprocess(measure, *work, about=f"{framework} on {task}", timeout=timeout))
            except CannotStart:
                raise
            except Exception as error:
                write_text(folder / LOG_FILE, "".join(traceback.format_exception(error)))
                file.reason = f"{framework} raised on {task}: {in_short(error)}"
                return
            _store(folder, file, "it is not finished")


def _waiting(file: BenchFile) -> Iterator[tuple[int, str, str]]:
    """Frameworks alternate, and so does which is first: a machine that grows slower over time slows each as much."""
    done = {(each.round, each.task, each.framework) for each in file.measured}
    for round_ in range(file.request.rounds):
        for task in file.request.tasks:
            for framework in file.request.frameworks[:: -1 if round_ % 2 else 1]:
                if (round_, task, framework) not in done:
                    yield round_, task, framework


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


def _show(file: BenchFile) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("task", "framework", "env steps/s", "sample s", "returns s", "update s", "start s", "memory MiB"):
        table.add_column(column, justify="left" if column in ("task", "framework") else "right")
    for task, bench in file.by_task().items():
        for name, rate in bench.throughput.items():
            phases = (rate.phases_s.sample, rate.phases_s.returns, rate.phases_s.update)
            table.add_row(
                task,
                name,
                f"{rate.env_steps_per_s:.0f}",
                *("-" if math.isnan(seconds) else f"{seconds:.3f}" for seconds in phases),
                f"{rate.start_s:.1f}",
                f"{rate.peak_memory_mb:.0f}",
            )
    console().print(table)
