"""Plotly figures, as the JSON that a report carries. Colours of text and grid come from the page's theme (report.js)."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from parity.report import text
from parity.report.curves import CONFIDENCE, Axis, MeanCurve, Policy, SeedCurve, TaskCurves
from parity.report.rungs import HIGHEST, LOWEST, rung_points
from parity.report.style import PHASE_COLOURS, colour, symbol, translucent
from parity.report.throughput import PHASES, PhaseTimes
from parity.results.summary import RungResult

__all__ = ["curves_figure", "get_plotlyjs", "ladder_figure", "script_json", "throughput_figure"]

AXIS_TITLES: dict[Axis, str] = {"steps": "environment steps", "train_s": "training seconds"}
GREY = "#808890"


def curves_figure(curves: TaskCurves, axis: Axis, policy: Policy) -> go.Figure:
    """Every seed thin, the mean thick with its interval; each trace's ``meta`` is the legend's key for it."""
    whose = "" if curves.agent is None else f" of {_plain(curves.agent)}"
    figure = go.Figure(layout=_layout(AXIS_TITLES[axis], f"return{whose}, {policy} policy"))
    for framework in curves.frameworks:
        for curve in curves.of_framework(framework):
            figure.add_trace(_seed_trace(curves, curve, axis, policy))
    for framework in curves.frameworks:
        mean = curves.mean(framework, policy)
        if mean is not None and mean.runs > 1:
            figure.add_traces(_mean_traces(curves, framework, mean, axis))
    if curves.uniform_legal is not None:
        _reference_line(figure, curves.uniform_legal, "uniform over legal actions", below=True)
    if curves.best is not None:
        _reference_line(figure, curves.best, "best known", below=False)
    figure.update_yaxes(range=curves.value_range())
    figure.update_xaxes(rangemode="tozero")
    return figure


def throughput_figure(times: list[PhaseTimes]) -> go.Figure:
    """Stacked bars: seconds per 1000 environment steps, one bar per framework."""
    figure = go.Figure(layout=_layout("seconds per 1000 environment steps", None))
    for phase, label in PHASES.items():
        seconds = [None if row.seconds[phase] != row.seconds[phase] else row.seconds[phase] for row in times]
        if any(seconds):
            figure.add_trace(
                go.Bar(
                    orientation="h",
                    name=label,
                    y=[_plain(row.framework) for row in times],
                    x=seconds,
                    marker={"color": PHASE_COLOURS[phase]},
                    hovertemplate=f"%{{y}}, {label}: %{{x:.3g}} s per 1000 steps<extra></extra>",
                )
            )
    figure.update_layout(barmode="stack", bargap=0.35, showlegend=True, height=110 + 42 * len(times))
    figure.update_layout(legend={"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix=" ")
    return figure


def ladder_figure(frameworks: list[str], ladders: Mapping[str, Mapping[str, RungResult]]) -> go.Figure:
    """How much of its tolerance each rung uses, on a logarithmic scale; a broken rung is a cross."""
    figure = go.Figure(layout=_layout(None, "difference, in units of the tolerance"))
    labels: dict[int, str] = {}
    for framework, ladder in ladders.items():
        points = rung_points(ladder)
        labels |= {result.rung: f"{result.rung} {name}" for name, result in ladder.items()}
        figure.add_trace(
            go.Scatter(
                x=[point.rung for point in points],
                y=[point.used for point in points],
                mode="lines+markers",
                name=_plain(framework),
                line={"color": colour(frameworks, framework), "width": 1.4},
                marker={
                    "size": [9 if point.holds else 14 for point in points],
                    "symbol": [symbol(frameworks, framework) if point.holds else "x" for point in points],
                },
                text=[
                    f"<b>{_plain(framework)}, {_plain(point.label)}</b><br>{_wrapped(point.words)}" for point in points
                ],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    figure.add_hline(y=1, line={"color": GREY, "width": 1.2, "dash": "dash"}, layer="below")
    figure.update_yaxes(
        type="log", range=[math.log10(LOWEST) - 0.4, math.log10(HIGHEST) + 0.4], dtick=2, exponentformat="power"
    )
    figure.update_xaxes(tickvals=list(labels), ticktext=list(labels.values()))
    figure.update_layout(showlegend=True, height=320)
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return figure


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no text in it can end the element. Figures become their JSON."""
    plain = json.dumps(value, default=lambda figure: json.loads(plotly.io.to_json(figure)), allow_nan=False)
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _seed_trace(curves: TaskCurves, curve: SeedCurve, axis: Axis, policy: Policy) -> go.Scatter:
    returns = curve.returns(policy)
    label = f"{_plain(curve.framework)} seed {curve.seed}{'' if curve.complete else ' (incomplete)'}"
    rows = zip(
        curve.x("steps"),
        curve.x("train_s"),
        returns,
        curves.score(returns),
        curve.deviations(policy),
        curve.episodes(policy),
        strict=True,
    )
    hover = [
        f"<b>{label}</b><br>step {text.count(steps)}, {text.duration(seconds)} of training<br>"
        f"return {text.number(value)} (score {text.fixed(score)})<br>"
        f"deviation over {text.plural(episodes, 'episode')}: {text.number(deviation, 3)}"
        for steps, seconds, value, score, deviation, episodes in rows
    ]
    return go.Scatter(
        x=curve.x(axis).tolist(),
        y=returns.tolist(),
        mode="lines+markers",
        name=label,
        meta=f"{curve.framework}/{curve.seed}",
        line={"color": colour(curves.frameworks, curve.framework), "width": 1.1}
        | ({} if curve.complete else {"dash": "dot"}),
        marker={"size": 3.5, "symbol": symbol(curves.frameworks, curve.framework)},
        opacity=0.55 if curve.complete else 0.85,
        text=hover,
        hovertemplate="%{text}<extra></extra>",
    )


def _mean_traces(curves: TaskCurves, framework: str, mean: MeanCurve, axis: Axis) -> list[go.Scatter]:
    shade = colour(curves.frameworks, framework)
    x = mean.x(axis).tolist()
    key = f"{framework}/mean"
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "meta": key, "x": x}
    label = f"{_plain(framework)}, mean of {mean.runs} seeds"
    hover = [
        f"<b>{label}</b><br>step {text.count(steps)}, {text.duration(seconds)} of training<br>"
        f"return {text.number(value)} (score {text.fixed(score)})<br>"
        f"{100 * CONFIDENCE:.0f} % interval {text.number(low)} to {text.number(high)}"
        for steps, seconds, value, score, low, high in zip(
            mean.steps, mean.train_s, mean.mean, curves.score(mean.mean), mean.low, mean.high, strict=True
        )
    ]
    return [
        go.Scatter(y=mean.low.tolist(), name=f"{label}, lower bound", **band),
        go.Scatter(
            y=mean.high.tolist(),
            name=f"{label}, upper bound",
            fill="tonexty",
            fillcolor=translucent(shade, 0.13),
            **band,
        ),
        go.Scatter(
            x=x,
            y=mean.mean.tolist(),
            mode="lines+markers",
            name=label,
            meta=key,
            line={"color": shade, "width": 3},
            marker={"size": 7, "symbol": symbol(curves.frameworks, framework)},
            text=hover,
            hovertemplate="%{text}<extra></extra>",
        ),
    ]


def _reference_line(figure: go.Figure, value: float, label: str, below: bool) -> None:
    figure.add_hline(
        y=value,
        line={"color": GREY, "width": 1.2, "dash": "dash"},
        layer="below",
        annotation={
            "text": f"{label}: {text.number(value, 3)}",
            "font": {"color": GREY, "size": 11},
            # Curves start low on the left and end high on the right: the labels keep out of their way.
            "xanchor": "right" if below else "left",
            "yanchor": "top" if below else "bottom",
            "x": 1 if below else 0,
            "showarrow": False,
        },
    )


def _layout(x_title: str | None, y_title: str | None) -> dict[str, Any]:
    return {
        "template": "none",
        "margin": {"l": 56, "r": 12, "t": 12, "b": 46},
        "showlegend": False,
        "hovermode": "closest",
        "hoverdistance": 30,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left"},
        "xaxis": {"title": {"text": x_title, "standoff": 8}, "zeroline": False, "automargin": True},
        "yaxis": {"title": {"text": y_title, "standoff": 8}, "zeroline": False, "automargin": True},
    }


def _wrapped(words: str, width: int = 70) -> str:
    return "<br>".join(_plain(line) for line in textwrap.wrap(words, width)[:5])


def _plain(name: str) -> str:
    """Plotly reads some markup in labels; a name is a name."""
    return html.escape(name)
