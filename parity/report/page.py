"""``report.html``: one file that needs no network, and that its own Content-Security-Policy keeps from using one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from parity.report import text
from parity.report.content import Content, evidence
from parity.report.curves import AXES, CONFIDENCE, POLICIES
from parity.report.interactive import curves_figure, get_plotlyjs, ladder_figure, script_json, throughput_figure
from parity.report.style import colour
from parity.report.templating import html_environment
from parity.report.throughput import PHASES
from parity.results.summary import METRIC_WORDS
from parity.verdict.metrics import THRESHOLD_OF_SB3


def html_report(content: Content, preliminary: bool = False) -> str:
    """The text of ``report.html``. Plotly is in it once, and only where there is a figure.

    ``preliminary``: the study is not concluded, and the page says so.
    """
    environment = html_environment()
    figures = _figures(content)
    scripts = [get_plotlyjs(), _source(environment, "report.js")] if figures else []
    return environment.get_template("report.html").render(
        content=content,
        preliminary=preliminary,
        study=content.study.file,
        summary=content.summary,
        figures=Markup(script_json(figures)) if figures else None,
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        confidence=CONFIDENCE,
        phases=PHASES,
        colour=colour,
        evidence=evidence,
        metrics=METRIC_WORDS,
        meanings=text.METRIC_MEANINGS,
        threshold_share=THRESHOLD_OF_SB3,
    )


def _figures(content: Content) -> dict[str, Any]:
    """By task: ``curves[axis][policy]``, ``agent NAME``, ``throughput`` and ``ladder``, where there is something to draw."""
    figures: dict[str, Any] = {}
    for task in content.tasks:
        made: dict[str, Any] = {}
        if task.curves.value_range() is not None and task.curves.seeds:
            for axis in AXES:
                made[axis] = {policy: curves_figure(task.curves, axis, policy) for policy in POLICIES}
            for agent in task.curves.agents:
                curves = task.curves.of_agent(agent)
                made[f"agent {agent}"] = {policy: curves_figure(curves, "steps", policy) for policy in POLICIES}
        times = [row.times for row in task.throughput if row.times is not None]
        if times:
            figure = throughput_figure(times)
            made["throughput"] = dict.fromkeys(POLICIES, figure)
        if task.summary.ladder:
            made["ladder"] = dict.fromkeys(POLICIES, ladder_figure(task.frameworks, task.summary.ladder))
        if made:
            figures[task.id] = made
    return figures


@cache
def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def studies_page(studies: Sequence[Any], folder: str) -> str:
    """The list of studies as a page; ``studies`` are those of ``parity.report.server.studies``."""
    return html_environment().get_template("index.html").render(studies=studies, folder=folder, policy=_policy([]))


def _policy(scripts: list[str]) -> str:
    """Nothing may be fetched, and no script may run but the report's own, known by their hashes."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
