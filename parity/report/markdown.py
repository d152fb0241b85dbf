"""``report.md`` and ``gate.md``: a study and its gate in short, for a pull request, a code host or the summary of a job."""

from __future__ import annotations

from collections.abc import Mapping

from parity.report.content import Content, evidence
from parity.report.curves import CONFIDENCE
from parity.report.gate import GateSection
from parity.report.templating import markdown_environment
from parity.report.throughput import PHASES
from parity.results.gate import Gate


def markdown_report(content: Content, figures: Mapping[str, Mapping[str, str]], pooled_figure: str | None) -> str:
    """The text of ``report.md``; ``figures`` are the files of each task, as ``write_figures`` returns them."""
    template = markdown_environment().get_template("report.md")
    return template.render(
        content=content,
        study=content.study.file,
        summary=content.summary,
        figures=figures,
        pooled_figure=pooled_figure,
        confidence=CONFIDENCE,
        phases=PHASES,
        evidence=evidence,
    )


def gate_markdown(gate: Gate) -> str:
    return markdown_environment().get_template("gate.md").render(gate=GateSection(gate), heading="#")
