"""What GitHub Actions reads of a command: annotations in its log, and the summary of the job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from parity.results.summary import Finding
from parity.system.console import say


def annotate(lines: Iterable[str]) -> None:
    """On stderr, where GitHub reads its commands too: stdout is for the JSON document."""
    if _is_github():
        for line in lines:
            say(line)


def annotate_findings(findings: Sequence[Finding]) -> None:
    if _is_github():
        from parity.gate.annotations import finding_lines  # with the gate's statistics, a second to import

        annotate(finding_lines(findings))


def _is_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def summary_is_wanted() -> bool:
    return bool(os.environ.get("GITHUB_STEP_SUMMARY"))


def add_to_summary(markdown: str) -> None:
    """To the file that ``GITHUB_STEP_SUMMARY`` names, if it names one."""
    summary_file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary_file:
        return
    try:
        with Path(summary_file).open("a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as error:
        # What was decided stands, whoever set this variable.
        say(f"GITHUB_STEP_SUMMARY: {summary_file} cannot be written ({error.strerror})")
