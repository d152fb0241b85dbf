"""``parity bisect`` from options to exit code."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from parity import tasks
from parity.bisect import files
from parity.bisect.document import BisectDocument, document, unbuilt
from parity.bisect.part import Anatomy
from parity.bisect.search import Keys, Outcome, interpolate
from parity.bisect.sentence import advice
from parity.bisect.verdict import Verdict
from parity.bisect.workers import Workers
from parity.errors import CannotStart
from parity.ladder.table import console


@dataclasses.dataclass(frozen=True)
class Request:
    """What ``parity bisect`` was asked.

    Attributes:
        task: as ``--task`` says it.
        workers: processes; None for one per core, up to two.
        out: folder below which the task files are written.
        as_json: whether to print the document on stdout.
    """

    task: str
    workers: int | None = None
    out: Path = Path("results")
    as_json: bool = False


def run_bisect(request: Request) -> int:
    """Takes one port apart, prints what was found and returns the exit code.

    Raises:
        CannotStart: bad input.
    """
    begin = time.perf_counter()
    ref = tasks.resolve(request.task)
    folder = files.folder_of(request.out, ref)
    out = console()
    with Workers(ref, str(folder / files.LOG_FILE), request.workers) as workers, _progress(out) as bar:
        line = bar.add_task("taking the port apart", total=None)
        anatomy = _anatomy(workers, request)
        outcome = None if anatomy.unbuilt else interpolate(anatomy, _judge(workers, bar, line))
    found = unbuilt(anatomy) if outcome is None else document(anatomy, outcome)
    found.seconds = round(time.perf_counter() - begin, 1)
    files.write(folder, ref, anatomy, outcome, found)
    _print(out, found, outcome)
    if request.as_json:
        print(found.to_json())
    return found.exit_code


def _anatomy(workers: Workers, request: Request) -> Anatomy:
    try:
        return workers.anatomy()
    except BrokenProcessPool:
        raise CannotStart(f"--task {request.task}: the process that loaded it died.") from None
    except TimeoutError:
        raise CannotStart(f"--task {request.task}: its port came to no end while it was built.") from None


def _judge(workers: Workers, bar: Progress, line: object) -> Callable[[Sequence[Keys]], list[Verdict]]:
    done, asked = 0, 0

    def judge(wanted: Sequence[Keys]) -> list[Verdict]:
        nonlocal asked
        asked += len(wanted)
        bar.update(line, total=asked)  # type: ignore[arg-type]

        def advance(keys: Keys, verdict: Verdict) -> None:
            nonlocal done
            done += 1
            state = "holds" if verdict.holds else f"breaks at rung {verdict.rung}"
            bar.update(line, completed=done, description=f"{_short(keys)} of yours: {state}")  # type: ignore[arg-type]

        return workers.judge(wanted, advance)

    return judge


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
