"""A port beside SB3 as tables and forest plots show it: on one task, and on all tasks of a study together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from parity.report import text
from parity.results.summary import (
    METRIC_WORDS,
    SB3,
    MetricComparison,
    Metrics,
    PooledSummary,
    PrimaryMetrics,
    Robustness,
    Summary,
    TaskSummary,
    Verdict,
)


@dataclass(frozen=True)
class Forest:
    """An interval drawn in a table cell: positions from -1 to 1 of a scale of ``half_width`` to both sides."""

    half_width: float
    margin: float
    point: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MetricRow:
    """One primary metric of a port beside SB3; ``task`` is None on a task's own table and for all tasks together."""

    port: str
    name: str
    metric: MetricComparison
    forest: Forest | None
    robustness: Robustness | None = None
    task: str | None = None
    tasks: int = 1

    @property
    def label(self) -> str:
        return METRIC_WORDS.get(self.name, self.name)

    @property
    def figures(self) -> str:
        return f"{text.signed(self.metric.difference)}, interval {text.interval(self.metric.interval)}"

    @property
    def seeds(self) -> int:
        """Runs of each framework, and on each task, that the comparison rests on."""
        return min(self.metric.runs.values(), default=0) // self.tasks

    @property
    def seeds_needed(self) -> str:
        """``9 (6 more)``: seeds per framework with which equivalence would be shown with 80 % power."""
        needed = self.metric.seeds_needed
        if needed is None:
            return text.UNKNOWN
        return f"{needed} ({needed - self.seeds} more)" if needed > self.seeds else str(needed)


def ports_of(task: TaskSummary, frameworks: list[str]) -> dict[str, Metrics]:
    """Comparisons by port; a summary that has only the contract's ``metrics`` means its first port."""
    if SB3 not in frameworks:
        return {}
    if task.comparisons:
        return task.comparisons
    ports = [framework for framework in frameworks if framework != SB3]
    return {ports[0]: task.metrics} if ports else {}


def metric_rows(
    ports: Mapping[str, PrimaryMetrics], robustness: Mapping[str, Mapping[str, Robustness]], tasks: int = 1
) -> list[MetricRow]:
    """One row per port and primary metric, on one scale."""
    metrics = [(port, name, metric) for port, of_port in ports.items() for name, metric in of_port.primary.items()]
    half_width = _reach([metric for _, _, metric in metrics])
    return [
        MetricRow(port, name, metric, _forest(metric, half_width), robustness.get(port, {}).get(name), tasks=tasks)
        for port, name, metric in metrics
    ]


@dataclass(frozen=True)
class Pooled:
    """All tasks together. ``rows`` is the forest plot: for each port and metric every task, then all of them."""

    summary: PooledSummary
    rows: list[MetricRow]

    @property
    def of_all(self) -> list[MetricRow]:
        return [row for row in self.rows if row.task is None]

    @property
    def alt(self) -> str:
        """The figure in words."""
        parts = [
            f"{row.port}, {row.label}, {row.task or 'all together'}: {row.figures}" for row in self.rows if row.forest
        ]
        return f"Differences from sb3 in normalised score, task by task and together. {'; '.join(parts)}."


def pooled_rows(summary: Summary, tasks: Mapping[str, list[MetricRow]]) -> Pooled | None:
    """None where the summary pools nothing."""
    pooled = summary.pooled
    if pooled is None:
        return None
    together = metric_rows(pooled.comparisons, pooled.robustness, len(pooled.tasks))
    ordered = []
    for whole in together:
        for task, rows in tasks.items():
            ordered += [replace(row, task=task) for row in rows if (row.port, row.name) == (whole.port, whole.name)]
        ordered.append(whole)
    half_width = _reach([row.metric for row in ordered])
    return Pooled(pooled, [replace(row, forest=_forest(row.metric, half_width)) for row in ordered])


def _reach(metrics: list[MetricComparison]) -> float:
    """Half the width of the scale: what the intervals need, at least twice the margin, at most a whole score."""
    margin = max((metric.margin or 0.0 for metric in metrics), default=0.0) or 0.15
    bounds = [
        abs(b) for m in metrics for b in (*(m.interval or ()), m.difference) if b is not None and math.isfinite(b)
    ]
    return min(max([2 * margin, *(1.08 * bound for bound in bounds)]), max(6 * margin, 1.2))


def _forest(metric: MetricComparison, half_width: float) -> Forest | None:
    if metric.difference is None or not math.isfinite(metric.difference):
        return None
    low, high = metric.interval if metric.interval is not None else (None, None)

    def place(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else max(-1.0, min(1.0, value / half_width))

    point = place(metric.difference)
    assert point is not None
    return Forest(half_width, (metric.margin or 0.0) / half_width, point, place(low), place(high))


def undecided_metrics(rows: Sequence[MetricRow]) -> list[str]:
    """What keeps each INCONCLUSIVE metric open, and how many seeds would probably decide it."""
    return [
        f"{row.port}, {row.label}: {_what_decides(row)}" for row in rows if row.metric.verdict is Verdict.INCONCLUSIVE
    ]


def _what_decides(row: MetricRow) -> str:
    metric = row.metric
    if metric.interval is None:
        return metric.reason or "no interval"
    interval = f"the interval {text.interval(metric.interval)} reaches beyond the margin ±{metric.margin:g}"
    where = metric.reason or interval
    if metric.seeds_needed is None:
        return f"{where}; no affordable number of seeds would decide"
    return f"{where}; {metric.seeds_needed} seeds per framework would probably decide ({row.seeds} so far)"
