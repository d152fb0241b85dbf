"""Workflow commands of GitHub Actions: a failed claim is shown beside the change that made it fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from parity.gate.decision import root_causes
from parity.results.gate import Gate
from parity.results.summary import Finding

Level = Literal["error", "warning", "notice"]
# GitHub shows ten of each level for a step and drops the others without a word.
SHOWN = 10


def annotation_lines(gate: Gate) -> list[str]:
    """One line for each, versions first; failures and what is undecided are errors, waivers warnings."""
    lines = [_command("notice", "parity gate: versions", str(change)) for change in gate.versions[:SHOWN]]
    errors = root_causes(gate.having("fail") or gate.having("undecided"))
    lines += _limited("error", [(claim.id, claim.message) for claim in errors])
    waived = [(claim.id, claim.message) for claim in gate.having("waived")]
    waived += [(use.claim, use.message) for use in gate.waivers if use.state != "used"]
    lines += _limited("warning", waived)
    return lines


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """One line for each finding that is an error or a warning."""
    lines: list[str] = []
    levels: tuple[Level, ...] = ("error", "warning")
    for level in levels:
        those = [(f"{each.code} ({each.framework})", _seen(each)) for each in findings if each.severity == level]
        lines += _limited(level, those, "parity")
    return lines


def _seen(finding: Finding) -> str:
    fix = f"; fix: {finding.fix}" if finding.fix else ""
    return f"{finding.title}, {finding.where}{fix}" if finding.where else f"{finding.title}{fix}"


def _limited(level: Level, messages: list[tuple[str, str]], source: str = "parity gate") -> Iterator[str]:
    shown = messages if len(messages) <= SHOWN else messages[: SHOWN - 1]
    for title, message in shown:
        yield _command(level, f"{source}: {title}", message)
    if len(messages) > len(shown):
        yield _command(level, source, f"and {len(messages) - len(shown)} more: see the summary")


def _command(level: Level, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """What follows ``::``. The percent sign first, as it starts the others."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A value between commas and colons."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
