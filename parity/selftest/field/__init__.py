"""Ports as people have them, by layout, and mistakes that people make in them: a table says what is right of each.

They were written by somebody who had not read this register or the ladder, as users write: each file is whole by itself. In
``truth.csv``, ``is`` is "good", "mistake" or "env" (the environment's own, of which the port is not accused), and ``by`` has
the codes of findings that name it; "not-compared" where what is declared leaves nothing to see it by. ``full``: only
`parity check --full` sees it.
"""

from __future__ import annotations

import csv
import functools
import importlib
from pathlib import Path

from parity.selftest.register import bug, good_port
from parity.task import Task


def _task(layout: str, port: str) -> Task:
    return getattr(importlib.import_module(f"{__name__}.{layout}"), port)


def _register() -> None:
    with (Path(__file__).parent / "truth.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            layout, port = row["layout"], row["port"]
            name = f"{layout}-{port}".replace("_", "-")
            make = functools.partial(_task, layout, port)
            if row["is"] == "good":
                good_port(row["sentence"] or f"a port of the layout {layout}", name=name)(make)
            else:
                plant = functools.partial(lambda _, make: make(), make=make)
                bug(row["sentence"], *row["by"].split(), name=name, full=row["full"] == "full")(plant)


_register()
