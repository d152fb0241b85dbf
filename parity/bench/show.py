"""A bench on the terminal: speed, phases side by side, what differed, and what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from parity.bench.sentence import LIMIT, LIMIT_OF_PORT, PHASE_WORDS
from parity.results.bench import BenchFile, TaskBench, Throughput
from parity.results.summary import Finding
from parity.system.console import console

_STYLES = {"error": "bold red", "warning": "yellow", "info": "blue"}


def show(file: BenchFile) -> None:
    by_task = file.by_task()
    console().print(_speed(by_task))
    for sentence in file.not_measured:
        console().print(Text(f"not measured: {sentence}"))
    for task, bench in by_task.items():
        of = f" of {task}" if len(by_task) > 1 else ""
        if any(rate.phases for rate in bench.throughput.values()):
            console().print(_phases(bench, of))
        if different := [row for row in bench.fairness if row.differs]:
            table = _table(f"conditions that differ{of}", bench.throughput)
            for row in different:
                table.add_row(row.name, *(str(row.values.get(name, "-")) for name in bench.throughput))
            console().print(table)
        for point in bench.sweep:
            console().print(
                f"{task}, {point.name}={point.value}, {point.framework}: {point.env_steps_per_s:.0f} env steps/s"
            )
        for finding in bench.findings:
            console().print(_line(finding))


def _speed(by_task: dict[str, TaskBench]) -> Table:
    left = ("task", "framework")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    right = (
        "env steps/s",
        "of limit",
        "sample s",
        "returns s",
        "update s",
        "rows/s",
        "open s",
        "start s",
        "memory MiB",
    )
    for column in (*left, *right):
        table.add_column(column, justify="left" if column in left else "right")
    for task, bench in by_task.items():
        limits = {LIMIT: bench.limit, LIMIT_OF_PORT: bench.limit_of_port}
        rows = bench.throughput | {name: rate for name, rate in limits.items() if rate is not None}
        for name, rate in rows.items():
            table.add_row(task, name, *_figures(rate))
    return table


def _figures(rate: Throughput) -> list[str]:
    phases = (rate.phases_s.sample, rate.phases_s.returns, rate.phases_s.update)
    return [
        f"{rate.env_steps_per_s:.0f}",
        _number(rate.of_limit, ".2f"),
        *(_number(seconds, ".3f") for seconds in phases),
        _number(rate.rows_per_s, ".0f"),
        _number(rate.open_s, ".1f"),
        f"{rate.start_s:.1f}",
        f"{rate.peak_memory_mb:.0f}",
    ]


def _phases(bench: TaskBench, of: str) -> Table:
    measured = {name: rate for name, rate in bench.throughput.items() if rate.phases}
    table = _table(f"ms of an iteration{of}, by hooks in a round of their own", measured)
    for phase, words in PHASE_WORDS.items():
        seconds = [rate.phase_s(phase) for rate in measured.values()]
        if any(seconds):
            table.add_row(words, *(f"{1000 * each:.1f}" for each in seconds))
    return table


def _table(title: str, names: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(title)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _line(finding: Finding) -> Text:
    message = (finding.model_extra or {}).get("message", finding.title)
    text = Text(f"{finding.code} ", style=_STYLES[finding.severity])
    return text.append(f"{finding.framework}: {message}. Fix: {finding.fix}", style="default")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)
