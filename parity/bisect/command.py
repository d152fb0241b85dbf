"""``parity bisect`` from options to exit code."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from parity.bisect import files
from parity.bisect.document import BisectDocument, document, step_entry, unbuilt
from parity.bisect.part import Anatomy
from parity.bisect.search import Keys, Outcome, interpolate
from parity.bisect.sentence import advice
from parity.bisect.step import Reached, Step, climbed, steps
from parity.bisect.trained import Run
from parity.bisect.training import training
from parity.bisect.verdict import Verdict
from parity.bisect.workers import Workers, climb_mixture, take_step
from parity.errors import CannotStart, ExitCode
from parity.system.console import console
from parity.task import registry as tasks


@dataclasses.dataclass(frozen=True)
class Request:
    """What ``parity bisect`` was asked.

    Attributes:
        task: as ``--task`` says it.
        workers: processes; None for one per core, up to two.
        out: folder below which the task files are written.
        climb: whether to climb from a probe to the whole port instead of exchanging parts.
        train: environment steps of short trainings; None trains nothing.
        as_json: whether to print the document on stdout.
    """

    task: str
    workers: int | None = None
    out: Path = Path("results")
    climb: bool = False
    train: int | None = None
    as_json: bool = False


def run_bisect(request: Request) -> int:
    """Takes one port apart, prints what was found and returns the exit code.

    Raises:
        CannotStart: bad input.
    """
    if request.climb and request.train is not None:
        raise CannotStart("--climb and --train: a climb trains its probes and nothing else; choose one of them.")
    begin = time.perf_counter()
    ref = tasks.resolve(request.task)
    folder = files.folder_of(request.out, ref)
    out = console()
    with Workers(ref, str(folder / files.LOG_FILE), request.workers) as workers, _progress(out) as bar:
        line = bar.add_task("taking the port apart", total=None)
        anatomy = _anatomy(workers, request)
        if request.climb and not anatomy.unbuilt:
            return _climb(request, workers, anatomy, bar, line, folder, out, begin)
        outcome = None if anatomy.unbuilt else interpolate(anatomy, _judge(workers, bar, line))
        trained = None
        if request.train is not None and outcome is not None and outcome.reference.holds:
            trained = training(anatomy, outcome, request.train, workers, _trained(bar, line))
    found = unbuilt(anatomy) if outcome is None else document(anatomy, outcome)
    if trained is not None:
        found.training, learns = trained
        found.exit_code = found.exit_code if learns else ExitCode.DOES_NOT_HOLD
    found.seconds = round(time.perf_counter() - begin, 1)
    files.write(folder, ref, anatomy, outcome, found)
    _print(out, found, outcome)
    if request.as_json:
        print(found.to_json())
    return found.exit_code


def _climb(
    request: Request,
    workers: Workers,
    anatomy: Anatomy,
    bar: Progress,
    line: TaskID,
    folder: Path,
    out: Console,
    begin: float,
) -> int:
    """Step by step to the first that breaks; as many at a time as there are processes."""
    from parity import probes

    todo = steps(probes.names())
    bar.update(line, total=len(todo))
    reached: list[Reached] = []

    def advance(step: Step, result: Reached | Verdict) -> None:
        bar.update(line, advance=1, description=step.words)

    while todo and not any(each.status == "breaks" for each in reached):
        now, todo = todo[: workers.processes], todo[workers.processes :]
        results = workers.run(take_step, now, advance)
        reached += [
            Reached(step, found) if isinstance(found, Verdict) else found
            for step, found in zip(now, results, strict=True)
        ]
    bar.stop()
    broken = next((i for i, each in enumerate(reached) if each.status == "breaks"), None)
    if broken is not None:
        reached = reached[: broken + 1]
    found = BisectDocument(
        task=anatomy.task,
        sentence=climbed(anatomy.task, reached),
        exit_code=ExitCode.HOLDS if broken is None else ExitCode.DOES_NOT_HOLD,
        notes=[f"Not exchanged: {reason}." for reason in anatomy.fixed],
        climb=[step_entry(each) for each in reached],
        seconds=round(time.perf_counter() - begin, 1),
    )
    files.store(folder, found, [each.verdict for each in reached if each.verdict is not None])
    _print_climb(out, found, reached)
    if request.as_json:
        print(found.to_json())
    return found.exit_code


def _print_climb(out: Console, found: BisectDocument, reached: list[Reached]) -> None:
    styles = {"holds": "green", "breaks": "bold red", "not applicable": "dim"}
    for each in reached:
        line = Text.assemble((f"{each.status:<14} ", styles[each.status]), each.step.words)
        if each.reason is not None:
            line.append(f": {each.reason}", "dim")
        out.print(line)
        for failure in each.failures:
            out.print(Text(f"  {failure}"))
    out.print(Text(found.sentence, style="green" if found.exit_code == 0 else "bold red"))
    if found.exit_code:
        out.print(Text("parity bisect without --climb says which part of the port does it."))
    out.print(Text(f"{len(reached)} steps in {found.seconds:.0f} s; log: {found.log}", style="dim"))


def _anatomy(workers: Workers, request: Request) -> Anatomy:
    try:
        return workers.anatomy()
    except BrokenProcessPool:
        raise CannotStart(f"--task {request.task}: the process that loaded it died.") from None
    except TimeoutError:
        raise CannotStart(f"--task {request.task}: its port came to no end while it was built.") from None


def _judge(workers: Workers, bar: Progress, line: TaskID) -> Callable[[Sequence[Keys]], list[Verdict]]:
    done, asked = 0, 0

    def judge(wanted: Sequence[Keys]) -> list[Verdict]:
        nonlocal asked
        asked += len(wanted)
        bar.update(line, total=asked)

        def advance(keys: Keys, verdict: Verdict) -> None:
            nonlocal done
            done += 1
            state = "holds" if verdict.holds else f"breaks at rung {verdict.rung}"
            bar.update(line, completed=done, description=f"{_short(keys)} of yours: {state}")

        return workers.run(climb_mixture, wanted, advance)

    return judge


def _trained(bar: Progress, line: TaskID) -> Callable[[Any, Any], None]:
    bar.update(line, total=None, completed=0, description="training the reference port and yours")

    def advance(wanted: tuple[Keys, int, int], result: Run | Verdict) -> None:
        what = "raised" if isinstance(result, Verdict) or result.raised else f"return {result.end:.3g}"
        bar.update(line, advance=1, description=f"{_short(wanted[0])} of yours, seed {wanted[1]}: {what}")

    return advance


def _short(keys: Keys) -> str:
    names = sorted(keys)
    return "none" if not names else (", ".join(names) if len(names) <= 2 else f"{len(names)} parts")


def _progress(out: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TextColumn("ladders"),
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    )


def _print(out: Console, found: BisectDocument, outcome: Outcome | None) -> None:
    style = "green" if found.exit_code == 0 else "bold red"
    out.print(Text(found.sentence, style=style))
    if found.training is not None:
        out.print(Text(found.training.sentence, style=style))
    for note in found.notes:
        out.print(Text(note))
    for code, title, fix in advice(outcome) if outcome is not None else []:
        out.print(Text.assemble((f"{code} ", "bold"), title))
        out.print(Text(f"  fix: {fix}", style="green"))
    by_command: dict[str, list[str]] = {}
    for entry in (*found.culprits, *found.then):
        by_command.setdefault(entry.command or "", []).extend(entry.parts)
    for command, parts in by_command.items():
        out.print(Text(f"{', '.join(parts)} alone: {command}"))
    if found.mended is not None:
        out.print(Text(f"yours, mended: {files.command(Path(found.mended))}"))
    out.print(Text(f"{len(found.tried)} ladders in {found.seconds:.0f} s; log: {found.log}", style="dim"))
