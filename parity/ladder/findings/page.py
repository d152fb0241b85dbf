"""``docs/rules.md``: every rule at length, generated from the catalogue; the site has a page of each (docs/hooks.py)."""

from __future__ import annotations

from parity.ladder.findings import RULES
from parity.ladder.findings.rule import Rule
from parity.results.ladder import RUNGS

HEAD = """# Findings

Every defect that `parity check` names, by rung of the ladder, and what `parity bench` says of speed. `parity rules CODE`
prints one of them. An *error* makes the check fail, a *warning* is a risk without effect in what was run, an *info* says what
RLlib does otherwise by design. A code, or a hyperparameter's name, in `Task(declared={...})` is reported as declared.
"""
_GENERATED = """
This page is generated: `python -m parity.ladder.findings > docs/rules.md`.
"""


def page() -> str:
    """The whole page, Markdown."""
    parts = [HEAD + _GENERATED]
    for heading, rules in chapters().items():
        parts.append(f"## {heading}\n")
        parts += [section(rule) for rule in rules]
    return "\n".join(parts)


def chapters() -> dict[str, list[Rule]]:
    """The rules by rung, then those of the bench; by heading."""
    rungs = {
        f"Rung {number}: {name}": [rule for rule in RULES.values() if rule.rung == number and not rule.is_of_bench]
        for number, name in enumerate(RUNGS)
    }
    bench = {"No rung: `parity bench`": [rule for rule in RULES.values() if rule.is_of_bench]}
    return {heading: rules for heading, rules in (rungs | bench).items() if rules}


def section(rule: Rule, level: int = 3) -> str:
    """One rule, under a heading of that level."""
    lines = [f"{'#' * level} {rule.code}: {rule.title}", "", f"*{rule.severity}*. {rule.explanation}", ""]
    lines += [f"How it comes about: {rule.origin}", "", "```python", rule.fix, "```", ""]
    if rule.explains:
        lines += [f"May be followed by: {', '.join(sorted(rule.explains))}.", ""]
    if rule.links:
        lines += [*(f"- <{link}>" for link in rule.links), ""]
    return "\n".join(lines)
