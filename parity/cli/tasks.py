"""``parity tasks``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from parity.cli.options import Json

if TYPE_CHECKING:
    from parity.task.task_table import Row


def tasks(*, json: Json = False) -> int:
    """List the built-in tasks: reference scores, masks, and about how long one seed of both frameworks takes.

    Parameters
    ----------
    json
        Print a list of objects on stdout.
    """
    import dataclasses
    import json as json_module
    import sys

    from parity.task.task_table import rows

    table = rows()
    if json:
        json_module.dump([dataclasses.asdict(row) for row in table], sys.stdout, indent=1)
        print()
        return 0
    _print(table)
    return 0


def _print(rows: Sequence[Row]) -> None:
    from rich import box
    from rich.table import Table

    from parity.system.console import console

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    for name in ("masks", "actions"):
        table.add_column(name, overflow="fold")
    for name in ("steps", "uniform legal", "best", "time"):
        table.add_column(name, justify="right")
    for row in rows:
        reference = row.reference or {}
        scores = [f"{reference[key]:g}" if key in reference else "?" for key in ("uniform_legal", "best")]
        table.add_row(
            row.id, row.mask or "?", row.action_space or "?", f"{row.steps or '?'}", *scores, _duration(row.seconds)
        )
    out = console(stderr=False)
    out.print(table)
    machines = sorted({row.measured_on for row in rows if row.measured_on})
    if machines:
        out.print(
            f"time: one seed of sb3 and one of rllib, one after the other, measured on {'; '.join(machines)}.",
            markup=False,
        )
    for row in rows:
        if row.unavailable is not None:
            out.print(f"{row.id} cannot run here: {row.unavailable}", markup=False)


def _duration(seconds: dict[str, float] | None) -> str:
    """The sum over frameworks, to two digits: "45 s" or "2.5 min"."""
    if not seconds:
        return "?"
    total = sum(seconds.values())
    return f"{total:.0f} s" if total < 60 else f"{total / 60:.1f} min"
