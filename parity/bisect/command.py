"""``parity bisect`` from options to exit code."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from parity import probes
from parity.bisect.document import document_of
from parity.bisect.jobs import FindParts, JudgeHybrid, TakeStep, TrainHybrid, UniformLegalReturn
from parity.bisect.ladder_outcome import LadderOutcome
from parity.bisect.parts import PortParts
from parity.bisect.search import Keys, SearchResult, find_culprits
from parity.bisect.sentence import advice, not_exchanged
from parity.bisect.short_training import LONGEST_TRAINING_S, Run, train_and_tell
from parity.bisect.steps import all_steps, steps_sentence
from parity.bisect.task_files import DOCUMENT_FILE, LOG_FILE, check_command, make_folder, write_task_files
from parity.bisect.worker_pool import WorkerPool
from parity.errors import CannotStart, ExitCode
from parity.results.bisect import BisectDocument, StepEntry
from parity.results.writing import write_text
from parity.system.console import console, progress
from parity.task import registry as tasks

_STYLES = {"holds": "green", "breaks": "bold red", "not applicable": "dim"}


def run_bisect(
    task: str,
    out: Path,
    workers: int | None = None,
    climb: bool = False,
    train: int | None = None,
    as_json: bool = False,
) -> int:
    """Finds the parts of one port that break the ladder, prints them and returns the exit code.

    Raises:
        CannotStart: bad input.
    """
    if climb and train is not None:
        raise CannotStart("--climb and --train: a climb trains its probes and nothing else; choose one of them.")
    begin = time.perf_counter()
    ref = tasks.resolve(task)
    folder = make_folder(out, ref)
    log = folder / LOG_FILE
    terminal = console()
    result: SearchResult | None = None
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TextColumn("ladders"), TimeElapsedColumn())
    with WorkerPool(ref, str(log), workers) as pool, progress(SpinnerColumn(), *columns) as shown:
        show = functools.partial(shown.update, shown.add_task("taking the port apart", total=None))
        (parts,) = pool.run([FindParts(task)])
        if parts.build_error is not None:
            sentence = f"{parts.build_error[0].upper()}{parts.build_error[1:]}."
            document = BisectDocument(task=parts.task, sentence=sentence, exit_code=ExitCode.DOES_NOT_HOLD)
        elif climb:
            document = _take_steps(parts, pool, show)
        else:
            result = find_culprits(parts, _judge(pool, show))
            document = document_of(parts, result)
            if train is not None and result.reference.holds:
                _train(parts, result, train, document, pool, show)
    if document.climb is None:
        mended = result is not None and result.rest is not None and result.rest.holds
        write_task_files(folder, ref, parts, document, mended)
    document.log = log.as_posix()
    document.seconds = round(time.perf_counter() - begin, 1)
    write_text(folder / DOCUMENT_FILE, document.to_json() + "\n")
    if document.climb is None:
        _print_culprits(terminal, document, advice(result) if result is not None else [])
    else:
        _print_steps(terminal, document, document.climb)
    if as_json:
        print(document.to_json())
    return document.exit_code


def _judge(pool: WorkerPool, show: Callable[..., None]) -> Callable[[Sequence[Keys]], list[LadderOutcome]]:
    asked = 0

    def judge(hybrids: Sequence[Keys]) -> list[LadderOutcome]:
        nonlocal asked
        asked += len(hybrids)
        show(total=asked)

        def on_done(index: int, outcome: LadderOutcome) -> None:
            state = "holds" if outcome.holds else f"breaks at rung {outcome.rung}"
            show(advance=1, description=f"{_short(hybrids[index])} of yours: {state}")

        return pool.run([JudgeHybrid(keys) for keys in hybrids], on_done)

    return judge


def _train(
    parts: PortParts,
    result: SearchResult,
    steps: int,
    document: BisectDocument,
    pool: WorkerPool,
    show: Callable[..., None],
) -> None:
    """Trains what tells the culprits apart, and puts it into the document."""

    def train(hybrids: Sequence[tuple[Keys, int]]) -> list[Run]:
        def on_done(index: int, run: Run) -> None:
            keys, seed = hybrids[index]
            end = "raised" if run.raised else f"return {run.end:.3g}"
            show(advance=1, description=f"{_short(keys)} of yours, seed {seed}: {end}")

        return pool.run([TrainHybrid(keys, seed, steps) for keys, seed in hybrids], on_done, LONGEST_TRAINING_S)

    show(total=None, completed=0, description="training the reference port and yours")
    (uniform_legal,) = pool.run([UniformLegalReturn()])
    document.training, learns = train_and_tell(parts, result, steps, uniform_legal, train)
    if not learns:
        document.exit_code = ExitCode.DOES_NOT_HOLD


def _take_steps(parts: PortParts, pool: WorkerPool, show: Callable[..., None]) -> BisectDocument:
    """Takes the steps up to the first that breaks, as many at a time as there are processes."""
    steps = all_steps(probes.names())
    show(total=len(steps))
    taken: list[StepEntry] = []
    while len(taken) < len(steps) and not any(step.status == "breaks" for step in taken):
        jobs = [TakeStep(step) for step in steps[len(taken) : len(taken) + pool.processes]]
        taken += pool.run(jobs, lambda _, step: show(advance=1, description=step.words))
    breaks = [step.status == "breaks" for step in taken]
    taken = taken[: breaks.index(True) + 1] if any(breaks) else taken
    return BisectDocument(
        task=parts.task,
        sentence=steps_sentence(parts.task, taken),
        exit_code=ExitCode.DOES_NOT_HOLD if any(breaks) else ExitCode.HOLDS,
        notes=not_exchanged(parts),
        climb=taken,
    )


def _short(keys: Keys) -> str:
    return ", ".join(sorted(keys)) or "none" if len(keys) <= 2 else f"{len(keys)} parts"


def _print_steps(terminal: Console, document: BisectDocument, steps: Sequence[StepEntry]) -> None:
    for step in steps:
        line = Text.assemble((f"{step.status:<14} ", _STYLES[step.status]), step.words)
        if step.status == "not applicable":
            line.append(f": {step.reason}", "dim")
        terminal.print(line)
        for failure in step.failures:
            terminal.print(Text(f"  {failure}"))
    terminal.print(Text(document.sentence, style="bold red" if document.exit_code else "green"))
    if document.exit_code:
        terminal.print(Text("parity bisect without --climb says which part of the port does it."))
    terminal.print(Text(f"{len(steps)} steps in {document.seconds:.0f} s; log: {document.log}", style="dim"))


def _print_culprits(terminal: Console, document: BisectDocument, fixes: list[tuple[str, str, str]]) -> None:
    style = "bold red" if document.exit_code else "green"
    terminal.print(Text(document.sentence, style=style))
    if document.training is not None:
        terminal.print(Text(document.training.sentence, style=style))
    for note in document.notes:
        terminal.print(Text(note))
    for code, title, fix in fixes:
        terminal.print(Text.assemble((f"{code} ", "bold"), title))
        terminal.print(Text(f"  fix: {fix}", style="green"))
    by_command: dict[str, list[str]] = {}
    for entry in (*document.culprits, *document.then):
        by_command.setdefault(entry.command or "", []).extend(entry.parts)
    for command, keys in by_command.items():
        terminal.print(Text(f"{', '.join(keys)} alone: {command}"))
    if document.mended is not None:
        terminal.print(Text(f"yours, mended: {check_command(Path(document.mended))}"))
    terminal.print(Text(f"{len(document.tried)} ladders in {document.seconds:.0f} s; log: {document.log}", style="dim"))
