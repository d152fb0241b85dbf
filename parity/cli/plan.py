"""``parity plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parity.cli.options import AllOf, Json
from parity.plan.options import PlanOptions

if TYPE_CHECKING:
    from parity.results.plan import Design, Plan

NOTHING_GIVEN = PlanOptions()


def plan(*, options: AllOf[PlanOptions] = NOTHING_GIVEN, json: Json = False) -> int:
    """Say how many seeds and tasks show equivalence, what drop they would see, and how long this machine takes.

    Parameters
    ----------
    json
        Print one document on stdout, and nothing else there.
    """
    from parity.plan.command import make_plan

    designed = make_plan(options)
    if json:
        print(designed.model_dump_json(indent=1))
    else:
        _print(designed)
    return 0


def _print(plan: Plan) -> None:
    from rich import box
    from rich.table import Table

    from parity.plan.notes import explanations, question
    from parity.system.console import console

    out = console(stderr=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("tasks", overflow="fold")
    for name in ("seeds", "formula", "trials", "EQUIVALENT", "WORSE: -10 %", "-20 %", "-50 %", "looks", "time"):
        table.add_column(name, justify="right")
    for design in plan.designs:
        table.add_row(*_row(design))
    out.print(question(plan), markup=False)
    out.print(table)
    for sentence in explanations(plan):
        out.print(sentence, markup=False)


def _row(design: Design) -> list[str]:
    from parity.report.text import duration

    tasks = str(design.tasks)
    if design.names:
        tasks = design.names[0] if len(design.names) == 1 else f"all {tasks} together"
    if design.seeds is None:
        return [tasks, "none known", *["-"] * 8]
    share = {rate.drop: rate for rate in design.rates}
    seconds = design.time.seconds if design.time else None
    return [
        tasks,
        f"{design.seeds}{' (asked)' if design.why == 'asked' else ''}",
        str(design.formula_seeds or "-"),
        str(design.time.trials if design.time else "-"),
        f"{100 * share[0.0].equivalent:.0f} %",
        *(f"{100 * share[drop].worse:.0f} %" for drop in (0.1, 0.2, 0.5)),
        f"{design.sequential.mean_seeds:.1f}" if design.sequential else "-",
        duration(seconds) if seconds is not None else "?",
    ]
