"""From a judged study to what people and CI systems read. Nothing here runs or imports a framework."""

from __future__ import annotations

from parity.errors import CannotStart
from parity.report.content import content
from parity.report.junit import junit_xml
from parity.report.markdown import markdown_report
from parity.report.page import html_report
from parity.report.static import write_figures, write_pooled
from parity.results.study import StudyRecord
from parity.results.summary import Summary
from parity.results.writing import write_text

HTML_FILE = "report.html"
MARKDOWN_FILE = "report.md"
FIGURES = "figures"
JUNIT_FILE = "junit.xml"

__all__ = ["HTML_FILE", "write_html", "write_report"]


def write_report(study: StudyRecord, summary: Summary) -> None:
    """Writes ``report.html``, ``report.md`` with ``figures/*.svg``, and ``junit.xml`` into the study's folder.

    A study of which nothing is left but ``study.json`` has a report too: it says what is missing.

    Raises:
        OSError: the folder cannot be written.
        CannotStart: its ``figures`` lead out of it.
    """
    if (study.folder / FIGURES).is_symlink():
        raise CannotStart(f"{study.folder / FIGURES} is a link, and figures are written into the study; remove it.")
    report = content(study, summary)
    write_text(study.folder / HTML_FILE, html_report(report))
    figures = {task.id: write_figures(task, study.folder / FIGURES) for task in report.tasks}
    together = write_pooled(report, study.folder / FIGURES)
    write_text(study.folder / MARKDOWN_FILE, markdown_report(report, figures, together))
    gate = report.gate.document if report.gate is not None and not report.gate.stale else None
    junit = junit_xml(summary, study.file.request.require, gate)
    write_text(study.folder / JUNIT_FILE, junit)


def write_html(study: StudyRecord, summary: Summary) -> str:
    """Writes ``report.html`` alone and returns its text."""
    page = html_report(content(study, summary))
    write_text(study.folder / HTML_FILE, page)
    return page
