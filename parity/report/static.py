"""The figures of ``report.md`` as SVG, by Matplotlib. The same study gives the same bytes, so that diffs stay empty."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from parity.report import text
from parity.report.content import Content, TaskContent
from parity.report.curves import AXES, Axis, TaskCurves
from parity.report.interactive import AXIS_TITLES, GREY
from parity.report.metric_rows import MetricRow
from parity.report.rungs import HIGHEST, LOWEST, rung_points
from parity.report.style import PHASE_COLOURS, colour, marker
from parity.report.svg import SVG_STYLE, write_svg
from parity.report.throughput import PHASES

POOLED_FILE = "pooled.svg"
_AXIS_FILES: dict[Axis, str] = {"steps": "steps", "train_s": "seconds"}


def write_figures(task: TaskContent, folder: Path) -> dict[str, str]:
    """Writes what there is to draw of a task. Returns the file names by figure: axes, ``agent NAME``,
    ``difference``, ``ladder``, ``throughput``."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {}

    def write(name: str, file: str, figure: Figure, title: str) -> None:
        write_svg(figure, folder / file, title)
        written[name] = file

    with mpl.rc_context(SVG_STYLE):
        if task.curves.value_range() is not None and task.curves.seeds:
            for axis in AXES:
                file = f"{task.id}-{_AXIS_FILES[axis]}.svg"
                write(axis, file, _curves(task.curves, axis), task.curve_alt(axis))
            for number, agent in enumerate(task.curves.agents):
                # An agent's id need not be good for a file name.
                file = f"{task.id}-agent-{number}.svg"
                write(f"agent {agent}", file, _curves(task.curves.of_agent(agent), "steps"), task.agent_alt(agent))
        if any(row.forest for row in task.metrics):
            write("difference", f"{task.id}-difference.svg", _differences(task), task.difference_alt)
        if task.summary.ladder:
            write("ladder", f"{task.id}-ladder.svg", _ladder(task), task.ladder_alt)
        if any(row.times for row in task.throughput):
            write("throughput", f"{task.id}-throughput.svg", _throughput(task), task.throughput_alt)
    return written


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.add_subplot()


def _curves(curves: TaskCurves, axis: Axis) -> Figure:
    figure, axes = _figure(3.9)
    for framework in curves.frameworks:
        if curves.agent is not None and not curves.of_framework(framework):
            continue  # a framework whose environment does not have this agent
        shade = colour(curves.frameworks, framework)
        for curve in curves.of_framework(framework):
            (line,) = axes.plot(curve.x(axis), curve.returns("deterministic"), color=shade, linewidth=0.8, alpha=0.55)
            line.set_linestyle("-" if curve.complete else ":")
        mean = curves.mean(framework, "deterministic")
        if mean is None:
            # A proxy, so that the legend names a framework of which only pieces are there.
            axes.plot([], [], color=shade, linewidth=0.8, linestyle=":", label=f"{framework}, no complete seed")
            continue
        axes.fill_between(mean.x(axis), mean.low, mean.high, color=shade, alpha=0.15, linewidth=0)
        (line,) = axes.plot(mean.x(axis), mean.mean, color=shade, linewidth=2.2, markersize=4.5)
        line.set_marker(marker(curves.frameworks, framework))
        line.set_label(f"{framework}, {text.plural(mean.runs, 'seed')}")
    anchors = {"uniform over legal actions": curves.uniform_legal, "best known": curves.best}
    for label, value in anchors.items():
        if value is not None:
            axes.axhline(value, color=GREY, linewidth=1, linestyle="--")
            # Curves start low on the left and end high on the right: the labels keep out of their way.
            above = label == "best known"
            axes.annotate(
                f"{label}: {text.number(value, 3)}",
                xy=(0 if above else 1, value),
                xycoords=("axes fraction", "data"),
                xytext=(2, 3) if above else (-2, -3),
                textcoords="offset points",
                ha="left" if above else "right",
                va="bottom" if above else "top",
                fontsize=8,
                color=GREY,
            )
    axes.set_ylim(curves.value_range())
    axes.set_xlim(left=0)
    axes.set_xlabel(AXIS_TITLES[axis])
    axes.set_ylabel(f"return{'' if curves.agent is None else f' of {curves.agent}'}, deterministic policy")
    if axis == "steps":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return figure


def write_pooled(content: Content, folder: Path) -> str | None:
    """Writes the forest plot of all tasks of a study; None where nothing was pooled or nothing can be drawn."""
    pooled = content.pooled
    rows = [row for row in pooled.rows if row.forest] if pooled else []
    if pooled is None or not rows:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    frameworks = list(content.study.file.request.frameworks)
    labels = [f"{row.port}, {row.label}: {row.task or 'together'}" for row in rows]
    with mpl.rc_context(SVG_STYLE):
        write_svg(_forest_plot(rows, labels, frameworks), folder / POOLED_FILE, pooled.alt)
    return POOLED_FILE


def _differences(task: TaskContent) -> Figure:
    rows = [row for row in task.metrics if row.forest]
    return _forest_plot(rows, [f"{row.port}: {row.label}" for row in rows], task.frameworks)


def _forest_plot(rows: list[MetricRow], labels: list[str], frameworks: list[str]) -> Figure:
    figure, axes = _figure(1.0 + (0.42 if len(rows) < 8 else 0.3) * len(rows))
    margins = [row.metric.margin or 0.0 for row in rows]
    if len(set(margins)) == 1:
        axes.axvspan(-margins[0], margins[0], color="#1f9e78", alpha=0.12, linewidth=0)
    else:
        left, widths = [-margin for margin in margins], [2 * margin for margin in margins]
        axes.barh(range(len(rows)), widths, 1.0, left, color="#1f9e78", alpha=0.12, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=1)
    for place, row in enumerate(rows):
        shade = colour(frameworks, row.port)
        together = row.tasks > 1
        if row.metric.interval is not None:
            width = 5 if together else 2.5
            axes.plot(row.metric.interval, [place, place], color=shade, linewidth=width, solid_capstyle="butt")
        assert row.metric.difference is not None
        size = 10 if together else 7
        axes.plot([row.metric.difference], [place], marker=marker(frameworks, row.port), color=shade, markersize=size)
    assert rows[0].forest is not None
    axes.set_xlim(-rows[0].forest.half_width, rows[0].forest.half_width)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), labels)
    axes.grid(visible=False, axis="y")
    confidence = next((row.metric.confidence for row in rows if row.metric.confidence), None)
    shown = f", {text.percent(confidence)} interval" if confidence else ""
    named = f"margin ±{margins[0]:g}" if len(set(margins)) == 1 else "margin"
    axes.set_xlabel(f"score minus sb3's{shown}; shaded: {named}")
    return figure


def _ladder(task: TaskContent) -> Figure:
    figure, axes = _figure(3.0)
    labels: dict[int, str] = {}
    for framework, ladder in (task.summary.ladder or {}).items():
        shade, points = colour(task.frameworks, framework), rung_points(ladder)
        labels |= {result.rung: f"{result.rung} {name}" for name, result in ladder.items()}
        (line,) = axes.plot([p.rung for p in points], [p.used for p in points], color=shade, linewidth=1.3)
        line.set_marker(marker(task.frameworks, framework))
        line.set_label(framework)
        broken = [point for point in points if not point.holds]
        axes.scatter([p.rung for p in broken], [p.used for p in broken], marker="X", s=110, color=shade, zorder=3)
    axes.axhline(1, color=GREY, linewidth=1, linestyle="--")
    axes.set_yscale("log")
    axes.set_ylim(LOWEST / 3, HIGHEST * 3)
    axes.set_ylabel("units of the tolerance")
    axes.set_xticks(list(labels), list(labels.values()), rotation=25, ha="right")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return figure


def _throughput(task: TaskContent) -> Figure:
    times = [row.times for row in task.throughput if row.times]
    figure, axes = _figure(1.15 + 0.45 * len(times))
    left = [0.0] * len(times)
    for phase, label in PHASES.items():
        seconds = [row.seconds[phase] if row.seconds[phase] == row.seconds[phase] else 0.0 for row in times]
        if any(seconds):
            axes.barh([row.framework for row in times], seconds, 0.6, left, color=PHASE_COLOURS[phase], label=label)
            left = [start + width for start, width in zip(left, seconds, strict=True)]
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("seconds per 1000 environment steps, seen while trials shared the machine")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)
    return figure
