"""Findings of one port: what was seen, and in which order it is reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from parity.ladder.findings import consequences, rule_against
from parity.results.check import number
from parity.results.summary import Finding, Severity


@dataclasses.dataclass
class RawFinding:
    """A defect seen in one port."""

    code: str  # the rule
    rung: int  # the rung that saw it
    where: str  # the module, agent, parameter or step, in words
    message: str  # what was seen, one sentence with figures
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)  # the figures; JSON values
    severity: Severity = "error"  # the rule's, or another where this case is milder
    module: str | None = None  # id of the module that it belongs to; None where it belongs to none or to all
    fix: str | None = None  # the rule's, or what to write in this port
    explains: tuple[str, ...] = ()  # further codes that follow from this case
    declared: str | None = None  # the reason that the task gives, where it declares the difference
    # the finding that this one follows from; set by the rung only where it is the same exception once more
    root: RawFinding | None = None

    @property
    def is_error(self) -> bool:
        """Whether it makes the check fail; what is declared does not, nor what follows from that."""
        return self.severity == "error" and self.declared is None

    def causes(self, other: RawFinding) -> bool:
        same = self.module is None or other.module is None or self.module == other.module
        return same and other is not self and other.code in consequences(self.code) | set(self.explains)


def settle(findings: Sequence[RawFinding], declared: Mapping[str, str]) -> list[RawFinding]:
    """Marks what the task declares and finds the root of every finding. Returns all, roots first.

    Only errors are roots: a warning hides nothing. Where several errors could have caused a finding, the one of the lowest
    code is named.
    """
    ordered = sorted(findings, key=lambda f: f.code)
    for each in ordered:
        each.declared = declared.get(each.code, each.declared)
    errors = [f for f in ordered if f.severity == "error"]
    for each in errors:
        # A cause that nobody allowed takes precedence: a declared one must not excuse what has another cause too.
        causes = [f for f in errors if f.causes(each) and not _leads_to(each, f)]
        each.root = each.root or next((f for f in causes if f.declared is None), next(iter(causes), None))
    first: dict[tuple[str, str | None], RawFinding] = {}
    for each in errors:
        # The same defect seen again in the same module follows from the first.
        before = first.setdefault((each.code, each.module), each)
        if before is not each and each.root is None and each.declared == before.declared:
            each.root = before
    for each in errors:
        while each.root is not None and each.root.root is not None:
            each.root = each.root.root
        if each.root is not None and each.root.declared is not None and each.declared is None:
            each.declared = f"follows from {each.root.code}, which is declared: {each.root.declared}"
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(ordered, key=lambda f: (f.root is not None, f.declared is not None, rank[f.severity], f.code))


def _leads_to(start: RawFinding, end: RawFinding) -> bool:
    """Whether ``end`` already counts as following from ``start``: two findings must not explain each other."""
    root = end.root
    while root is not None:
        if root is start:
            return True
        root = root.root
    return False


def as_findings(settled: Sequence[RawFinding], task: str, framework: str, other_side: str = "SB3") -> list[Finding]:
    """For ``summary.json``: one entry per root, its consequences within."""
    return [
        _finding(each, [other for other in settled if other.root is each], task, framework, other_side)
        for each in settled
        if each.root is None
    ]


def _finding(finding: RawFinding, following: list[RawFinding], task: str, framework: str, other_side: str) -> Finding:
    rule = rule_against(finding.code, other_side)
    extra: dict[str, Any] = {"message": finding.message}
    if finding.declared is not None:
        extra["declared"] = finding.declared
    if following:
        extra["consequence_findings"] = [
            {"code": f.code, "where": f.where, "message": f.message, "evidence": json_value(f.evidence)}
            for f in following
        ]
    return Finding(
        code=finding.code,
        severity="info" if finding.declared is not None else finding.severity,
        title=rule.title,
        task=task,
        framework=framework,
        where=finding.where,
        evidence=json_value(finding.evidence),
        fix=finding.fix or rule.fix,
        consequences=sorted({f.code for f in following} - {finding.code}),
        **extra,
    )


def json_value(value: Any) -> Any:
    """NaN and infinities as strings, as everywhere in parity's JSON; NumPy scalars as Python's."""
    if isinstance(value, Mapping):
        return {str(key): json_value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    return number(value) if isinstance(value, float) else value
