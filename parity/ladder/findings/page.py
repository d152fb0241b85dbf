"""``docs/rules.md``: every rule at length, generated from the catalogue."""

from __future__ import annotations

from parity.ladder.findings import RULES
from parity.ladder.findings.rule import Rule
from parity.results.ladder import RUNGS

_HEAD = """# Findings

Every defect that `parity check` names, by rung of the ladder, and what `parity bench` says of speed. `parity rules CODE`
prints one of them. An *error* makes the check fail, a *warning* is a risk without effect in what was run, an *info* says what
RLlib does otherwise by design. A code, or a hyperparameter's name, in `Task(declared={...})` is reported as declared.

This page is generated: `python -m parity.ladder.findings > docs/rules.md`.
"""


def page() -> str:
    """The whole page, Markdown."""
    parts = [_HEAD]
    for number, name in enumerate(RUNGS):
        rules = [rule for rule in RULES.values() if rule.rung == number and not rule.is_of_bench]
        if rules:
            parts.append(f"## Rung {number}: {name}\n")
            parts += [_section(rule) for rule in rules]
    parts.append("## No rung: `parity bench`\n")
    parts += [_section(rule) for rule in RULES.values() if rule.is_of_bench]
    return "\n".join(parts)


def _section(rule: Rule) -> str:
    lines = [f"### {rule.code}: {rule.title}", "", f"*{rule.severity}*. {rule.explanation}", ""]
    lines += [f"How it comes about: {rule.origin}", "", "```python", rule.fix, "```", ""]
    if rule.explains:
        lines += [f"May be followed by: {', '.join(sorted(rule.explains))}.", ""]
    if rule.links:
        lines += [*(f"- <{link}>" for link in rule.links), ""]
    return "\n".join(lines)
