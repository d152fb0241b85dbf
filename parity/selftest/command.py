"""``parity selftest`` from options to exit code."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from parity.selftest.register import Bug, GoodPort, select
from parity.selftest.run import Entry, run
from parity.selftest.score import HOLDS, WORDS, Score, score, write
from parity.system.console import progress
from parity.system.machine import cores

STYLES = {"caught": "green", "clear": "green", "missed": "bold red", "accused": "bold red", "wrong rung": "yellow"}


def run_selftest(
    only: list[str] | None = None, workers: int | None = None, out: Path | None = None, as_json: bool = False
) -> int:
    """Runs the ladder of every entry, prints the score and returns the exit code.

    Raises:
        CannotStart: an unknown name, or a folder that cannot be written.
    """
    bugs, ports = select(only)
    entries: list[Bug | GoodPort] = [*bugs, *ports]
    console = Console(stderr=True)
    start = time.perf_counter()
    results = _run(entries, workers or cores())
    scored = score(results, time.perf_counter() - start)
    _print(scored, console)
    if out is not None:
        write(scored, out)
    if as_json:
        print(scored.to_json())
    return scored.exit_code


def _run(entries: list[Bug | GoodPort], workers: int) -> list[Entry]:
    by_name: dict[str, Entry] = {}
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with progress(TextColumn("{task.description}"), *columns) as bar:
        task = bar.add_task("climbing", total=len(entries))
        for result in run(entries, workers):
            by_name[result.name] = result
            bar.advance(task)
    return [by_name[entry.name] for entry in entries]


def _print(score: Score, out: Console) -> None:
    for title, entries in (("planted bug", score.bugs), ("good port", score.ports)):
        if not entries:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in (title, "outcome", "found"):
            table.add_column(column, overflow="fold")
        # What does not hold stands at the end, where a reader of a long table looks.
        for each in sorted(entries, key=lambda each: each.outcome not in HOLDS):
            table.add_row(each.name, f"[{STYLES[each.outcome]}]{WORDS[each.outcome]}[/]", _found(each))
        out.print(table)
    out.print(score.sentence(), highlight=False)


def _found(each: Entry) -> str:
    codes = " ".join(each.roots or each.rungs)
    if each.outcome in HOLDS:
        return codes
    expected = f" (expected {' or '.join(each.expected)})" if each.expected else ""
    return f"{codes}{expected}{': ' if each.message else ''}{each.message}"
