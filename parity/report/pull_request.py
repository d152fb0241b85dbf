"""``report.md``: the report in short, for a pull request or a code host."""

from __future__ import annotations

from collections.abc import Mapping

from parity.report.content import Content, evidence
from parity.report.curves import CONFIDENCE
from parity.report.templating import markdown_environment
from parity.report.throughput import PHASES


def markdown_report(content: Content, figures: Mapping[str, Mapping[str, str]], pooled_figure: str | None) -> str:
    """The text of ``report.md``; ``figures`` holds the files of each task, as ``write_figures`` returns them, and
    ``pooled_figure`` that of all tasks together."""
    return (
        markdown_environment()
        .get_template("report.md")
        .render(
            content=content,
            study=content.study.file,
            summary=content.summary,
            figures=figures,
            pooled_figure=pooled_figure,
            confidence=CONFIDENCE,
            phases=PHASES,
            evidence=evidence,
        )
    )
