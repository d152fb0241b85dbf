"""What report.js draws with plotly.js: every number of the curves once, and small figures whole.

Colours of text and grid come from the page's theme (report.js). Texts are escaped, as plotly.js reads some markup in labels.
"""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from parity.report.curves import AXES, CONFIDENCE, POLICIES, Floats, MeanCurve, SeedCurve, TaskCurves
from parity.report.rungs import HIGHEST, LOWEST, rung_points
from parity.report.style import PHASE_COLOURS, colour, symbol, translucent
from parity.report.throughput import PHASES, PhaseTimes
from parity.results.summary import RungResult

AXIS_TITLES = {"steps": "environment steps", "train_s": "training seconds"}
LADDER_TITLE = "difference from SB3 / tolerance"
THROUGHPUT_TITLE = "seconds per 1,000 environment steps"
GREY = "#808890"
_DASHED = {"color": GREY, "width": 1.2, "dash": "dash"}


def return_title(agent: str | None) -> str:
    """Of the axis that learning curves share, without the policy."""
    return "return per episode" if agent is None else f"return per episode of {agent}"


def plotly_source() -> str:
    """plotly.js's basic bundle (MIT), which has lines, points and bars: a quarter of the whole library."""
    return files("parity.report").joinpath("vendor/plotly-basic.min.js").read_text(encoding="utf-8")


def curves_data(curves: TaskCurves) -> dict[str, Any]:
    """Every seed of both policies and the means with their intervals; ``key`` is the legend's name of a line."""
    return {
        "titles": AXIS_TITLES | {"return": _plain(return_title(curves.agent))},
        "range": curves.value_range(),
        "anchors": {"uniform over legal actions": curves.uniform_legal, "best known": curves.best},
        "zero": curves.uniform_legal,
        "full": curves.full_score_return,
        "confidence": f"{100 * CONFIDENCE:.0f} %",
        "seeds": [_seed(curves, curve) for name in curves.frameworks for curve in curves.of_framework(name)],
        "means": {
            policy: [
                _mean(curves, name, mean)
                for name in curves.frameworks
                if (mean := curves.mean(name, policy)) is not None and mean.runs > 1
            ]
            for policy in POLICIES
        },
    }


def throughput_figure(times: list[PhaseTimes]) -> dict[str, Any]:
    """Stacked bars, one per framework."""
    return stacked_bars(THROUGHPUT_TITLE, {row.framework: row.seconds for row in times}, PHASES, "s per 1,000 steps")


def stacked_bars(
    title: str, rows: Mapping[str, Mapping[str, float]], labels: Mapping[str, str], unit: str
) -> dict[str, Any]:
    """A bar for each row, its parts by phase; ``labels``: what phases are called, in their order."""
    bars = []
    for phase, label in labels.items():
        values = [row[phase] if math.isfinite(row[phase]) else None for row in rows.values()]
        if any(values):
            bars.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": label,
                    "y": list(map(_plain, rows)),
                    "x": values,
                    "marker": {"color": PHASE_COLOURS[phase]},
                    "hovertemplate": f"%{{y}}, {label}: %{{x:.3g}} {unit}<extra></extra>",
                }
            )
    layout = {
        "xaxis": {"title": {"text": title}},
        "yaxis": {"autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        "barmode": "stack",
        "bargap": 0.35,
        "height": 110 + 42 * len(rows),
        "showlegend": True,
        "legend": {"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    return {"data": bars, "layout": layout}


def sweep_figure(name: str, lines: Mapping[str, list[tuple[int, float, list[float]]]]) -> dict[str, Any]:
    """Cost against what was varied; ``lines``: by framework, value, seconds per 1,000 steps and those of every round."""
    frameworks = list(lines)
    data = [
        {
            "type": "scatter",
            "x": [value for value, _, _ in points],
            "y": [seconds for _, seconds, _ in points],
            "mode": "lines+markers",
            "name": _plain(framework),
            "line": {"color": colour(frameworks, framework), "width": 1.6},
            "marker": {"size": 8, "symbol": symbol(frameworks, framework)},
            "text": [", ".join(f"{each:.3g}" for each in rounds) for _, _, rounds in points],
            "hovertemplate": f"{name}=%{{x}}: %{{y:.3g}} s per 1,000 steps<br>rounds: %{{text}}",
        }
        for framework, points in lines.items()
    ]
    values = sorted({value for points in lines.values() for value, _, _ in points})
    # A logarithmic axis has no place for 0, as of env runners.
    scale = {"type": "log" if values[0] > 0 else "linear", "tickvals": values, "ticktext": list(map(str, values))}
    layout = {
        "xaxis": {"title": {"text": name}, **scale},
        "yaxis": {"title": {"text": THROUGHPUT_TITLE}, "rangemode": "tozero"},
        "height": 340,
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    return {"data": data, "layout": layout}


def ladder_figure(frameworks: list[str], ladders: Mapping[str, Mapping[str, RungResult]]) -> dict[str, Any]:
    """How much of its tolerance each rung uses, on a logarithmic scale; a broken rung is a cross."""
    labels: dict[int, str] = {}
    lines = []
    for framework, ladder in ladders.items():
        points = rung_points(ladder)
        labels |= {result.rung: f"{result.rung} {name}" for name, result in ladder.items()}
        lines.append(
            {
                "type": "scatter",
                "x": [point.rung for point in points],
                "y": [point.used for point in points],
                "mode": "lines+markers",
                "name": _plain(framework),
                "line": {"color": colour(frameworks, framework), "width": 1.4},
                "marker": {
                    "size": [9 if point.holds else 14 for point in points],
                    "symbol": [symbol(frameworks, framework) if point.holds else "x" for point in points],
                },
                "text": [
                    f"<b>{_plain(framework)}, {_plain(point.label)}</b><br>{_wrapped(point.words)}" for point in points
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"tickvals": list(labels), "ticktext": list(labels.values())},
        "yaxis": {
            "title": {"text": LADDER_TITLE},
            "type": "log",
            "range": [math.log10(LOWEST) - 0.4, math.log10(HIGHEST) + 0.4],
            "dtick": 2,
            "exponentformat": "power",
        },
        "shapes": [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1, "layer": "below", "line": _DASHED}
        ],
        "height": 320,
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    return {"data": lines, "layout": layout}


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no text in it can end the element."""
    plain = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _seed(curves: TaskCurves, curve: SeedCurve) -> dict[str, Any]:
    label = f"{_plain(curve.framework)} seed {curve.seed}{'' if curve.complete else ' (incomplete)'}"
    return {
        "key": f"{curve.framework}/{curve.seed}",
        "label": label,
        "complete": curve.complete,
        "colour": colour(curves.frameworks, curve.framework),
        "symbol": symbol(curves.frameworks, curve.framework),
        **{axis: _numbers(curve.x(axis)) for axis in AXES},
        **{
            policy: {
                "return": _numbers(curve.returns(policy)),
                "deviation": _numbers(curve.deviations(policy)),
                "episodes": curve.episodes(policy),
            }
            for policy in POLICIES
        },
    }


def _mean(curves: TaskCurves, framework: str, mean: MeanCurve) -> dict[str, Any]:
    shade = colour(curves.frameworks, framework)
    return {
        "key": f"{framework}/mean",
        "label": f"{_plain(framework)}, mean of {mean.runs} seeds",
        "colour": shade,
        "band": translucent(shade, 0.13),
        "symbol": symbol(curves.frameworks, framework),
        **{axis: _numbers(mean.x(axis)) for axis in AXES},
        "return": _numbers(mean.mean),
        "low": _numbers(mean.low),
        "high": _numbers(mean.high),
    }


def _numbers(values: Floats) -> list[float | int | None]:
    """Six digits, more than a figure shows and fewer bytes; what is no finite number is a gap."""
    whole = np.isfinite(values) & (values == np.trunc(values))
    return [
        int(value) if is_whole else float(f"{value:.6g}") if math.isfinite(value) else None
        for value, is_whole in zip(values.tolist(), whole.tolist(), strict=True)
    ]


def _wrapped(words: str, width: int = 70) -> str:
    return "<br>".join(_plain(line) for line in textwrap.wrap(words, width)[:5])


def _plain(name: str) -> str:
    return html.escape(name)
