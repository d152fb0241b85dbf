"""``report.html``: one file that needs no network, and that its own Content-Security-Policy keeps from using one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from parity.ladder.findings import RULES
from parity.report import text
from parity.report.content import Content, evidence
from parity.report.curves import CONFIDENCE
from parity.report.interactive import curves_data, ladder_figure, plotly_source, script_json, throughput_figure
from parity.report.style import colour
from parity.report.templating import html_environment
from parity.report.throughput import PHASES
from parity.results.summary import METRIC_WORDS
from parity.verdict.metrics import THRESHOLD_OF_SB3


def html_report(content: Content, preliminary: bool = False) -> str:
    """The text of ``report.html``. Plotly is in it once, and only where there is a figure.

    ``preliminary``: the study is not concluded, and the page says so.
    """
    return rendered(
        "report.html",
        _figures(content),
        content=content,
        preliminary=preliminary,
        study=content.study.file,
        summary=content.summary,
        confidence=CONFIDENCE,
        phases=PHASES,
        colour=colour,
        evidence=evidence,
        rules=RULES,
        metrics=METRIC_WORDS,
        meanings=text.METRIC_MEANINGS,
        threshold_share=THRESHOLD_OF_SB3,
    )


def rendered(template: str, figures: dict[str, Any], **values: Any) -> str:
    """A page of ``base.html``'s kind; ``figures``: by task and name."""
    environment = html_environment()
    scripts = _scripts() if figures else []
    return environment.get_template(template).render(
        figures=Markup(script_json(figures)) if figures else None,
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        **values,
    )


def _figures(content: Content) -> dict[str, Any]:
    """By task: ``curves`` by agent, the learning one's under an empty name, ``throughput`` and ``ladder``, where there is
    something to draw."""
    figures: dict[str, Any] = {}
    for task in content.tasks:
        made: dict[str, Any] = {}
        if task.curves.value_range() is not None and task.curves.seeds:
            others = {agent: curves_data(task.curves.of_agent(agent)) for agent in task.curves.agents}
            made["curves"] = {"": curves_data(task.curves), **others}
        times = [row.times for row in task.throughput if row.times is not None]
        if times:
            made["throughput"] = throughput_figure(times)
        if task.summary.ladder:
            made["ladder"] = ladder_figure(task.frameworks, task.summary.ladder)
        if made:
            figures[task.id] = made
    return figures


@cache
def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _scripts() -> list[str]:
    return [plotly_source(), _source(html_environment(), "report.js")]


@cache
def report_policy() -> str:
    """What every page may do, whoever wrote the file: no script runs in it but a report's own."""
    return _policy(_scripts())


def studies_page(studies: Sequence[Any], benches: Sequence[Any], folder: str) -> str:
    """The list of studies as a page; ``studies`` and ``benches`` are those of ``parity.report.server``."""
    return rendered("index.html", {}, studies=studies, benches=benches, folder=folder)


def _policy(scripts: list[str]) -> str:
    """Nothing may be fetched, and no script may run but the report's own, known by their hashes."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
