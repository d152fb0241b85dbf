"""The ladder on a terminal: a table to read at a glance, and the findings below it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity.ladder.findings import page_of
from parity.results.summary import Finding, RungResult

COLOURS = {
    "pass": "green",
    "explained": "cyan",
    "declared": "cyan",
    "not_applicable": "dim",
    "fail": "bold red",
    "invalid": "bold red",
}
SEVERITIES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
# Figures of evidence that are worth a line on a terminal; all of it is in --json.
MOST_FIGURES = 4


def print_ladder(out: Console, framework: str, rungs: Mapping[str, RungResult], other: str = "sb3") -> None:
    """One line per rung: status, what would have passed, and why."""
    table = Table(
        title=f"{framework} against {other}", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    table.add_column("rung", no_wrap=True, min_width=14)
    table.add_column("status", no_wrap=True, min_width=14)
    table.add_column("max abs", justify="right", no_wrap=True, min_width=8)
    table.add_column("of tolerance", justify="right", no_wrap=True)
    table.add_column("", ratio=1, overflow="fold")
    told: dict[str, str] = {}
    for name, result in rungs.items():
        table.add_row(
            f"{result.rung} {name}",
            Text(result.status.replace("_", " "), style=COLOURS[result.status]),
            _number(result.max_abs),
            _number(result.tolerance_needed),
            _why(name, result, told),
        )
    out.print(table)


def _why(name: str, result: RungResult, told: dict[str, str]) -> Text:
    """The reason, told once: further rungs point to the first that has it. ``told``: reason -> that rung."""
    if not result.reason:
        return Text(result.where or "", style="dim")
    first = told.setdefault(result.reason, f"{result.rung} {name}")
    return (
        Text(_shortened(result.reason)) if first == f"{result.rung} {name}" else Text(f"as rung {first}", style="dim")
    )


def print_algorithm(out: Console, seen: Mapping[str, Any] | None) -> None:
    """What ``--full`` ran, in a line below the ladder."""
    if seen is None:
        return
    processes = [_count(seen["env_runners"], "env runner"), _count(seen["learners"], "learner")]
    differences = [
        f"{words} {_number(seen[name])}"
        for words, name in (
            ("of weights between its processes", "weights_apart"),
            ("of log-probs between sampling and training", "log_probs_apart"),
            ("between its update and that of a learner alone", "update_apart"),
        )
        if seen[name] is not None
    ]
    out.print(Text(f"through Algorithm ({', '.join(processes)}): largest differences: {', '.join(differences)}"))


def print_control(out: Console, control: Mapping[str, Any] | None) -> None:
    """How far the device alone is from the CPU."""
    if control is None:
        return
    parts = [f"{name} {_number(control[name])}" for name in ("logits", "values", "gradient")]
    out.print(
        Text(
            f"control: the port's module on the CPU and on {control['device']} differ by these parts of the tolerance: "
            f"{', '.join(parts)}"
        )
    )


def _count(number: int, of: str) -> str:
    return f"{of} in the main process" if number == 0 else f"{number} {of}{'s' if number > 1 else ''}"


def print_parameter_map(out: Console, maps: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """What would make a port comparable, ready to paste: SB3's names with the port's of the same shape."""
    for framework, candidates in maps.items():
        if not all(candidates.values()):
            continue  # a parameter of SB3 has no counterpart at all: no map makes these networks one
        out.print(Text(f"To compare {framework}, say in the task which parameter is which:", style="bold"))
        out.print("parameter_map={", markup=False)
        used: set[str] = set()
        for name, others in candidates.items():
            # Each of the port's once: what is pasted is then a whole map, to be mended where names mislead.
            first = next((other for other in others if other not in used), "?")
            used.add(first)
            rest = [other for other in others if other != first]
            more = f"  # or {', '.join(rest)}" if rest else ""
            out.print(f'    "{name}": "{first}",{more}', markup=False, soft_wrap=True)
        out.print("}", markup=False)


def print_findings(out: Console, findings: Sequence[Finding]) -> None:
    """Root causes first, each with what was seen, what follows from it, and the fix; once where frameworks share it."""
    for finding, frameworks in _shared(findings):
        extra = finding.model_extra or {}
        declared = extra.get("declared")
        word = "declared" if declared else finding.severity
        head = Text.assemble(
            (finding.code, f"bold link {page}" if (page := page_of(finding.code)) else "bold"),
            " ",
            (f"{word} ", SEVERITIES[finding.severity]),
            f"{finding.title} [{', '.join(frameworks)}]",
        )
        out.print(head)
        out.print(Text(f"  {finding.where}: {extra.get('message', '')}"), soft_wrap=False)
        if declared:
            out.print(Text(f"  declared: {declared}"))
            continue
        figures = _figures(finding.evidence)
        if figures and finding.severity != "info":
            out.print(Text(f"  {figures}", style="dim"))
        if finding.consequences:
            out.print(Text(f"  and so: {', '.join(finding.consequences)}"))
        if finding.severity != "info" and finding.fix:
            out.print(Text(f"  fix: {finding.fix}", style="green"))


def _shared(findings: Sequence[Finding]) -> list[tuple[Finding, list[str]]]:
    """Each finding once with the frameworks that have it, in which only figures and places of rows may differ.

    What follows from it is that of all of them.
    """
    shared: dict[tuple[Any, ...], tuple[Finding, list[str]]] = {}
    for finding in findings:
        extra = finding.model_extra or {}
        words = re.sub(r"[\d.]+(e[+-]?\d+)?", "#", f"{finding.where}: {extra.get('message')}")
        key = (finding.code, finding.severity, words, extra.get("declared"), finding.fix)
        first, frameworks = shared.setdefault(key, (finding, []))
        framework = str(finding.framework)
        if framework not in frameworks:
            frameworks.append(framework)
        elif first is not finding:  # one framework has it twice: in two modules or agents
            shared[(*key, len(shared))] = (finding, [framework])
        if first is not finding and set(finding.consequences) - set(first.consequences):
            both = sorted({*first.consequences, *finding.consequences})
            shared[key] = (first.model_copy(update={"consequences": both}), frameworks)
    return list(shared.values())


def print_trace(out: Console, framework: str, episodes: Sequence[Mapping[str, Any]]) -> None:
    """One episode per agent, a line per decision."""
    for episode in episodes:
        out.print(Text(f"{framework}: agent {episode['agent']}, module {episode['module']}", style="bold"))
        for step in episode["steps"]:
            parts = step["legal"] if isinstance(step["legal"], list) else [step["legal"]]
            legal = " | ".join(" ".join(f"{action}:{_number(p)}" for action, p in part.items()) for part in parts)
            end = f"  {step['end']}" if step["end"] else ""
            illegal = f"  P(illegal) {_number(step['p_illegal'])}" if step["p_illegal"] else ""
            out.print(
                Text(
                    f"  {step['step']:>3}  action {step['action']}  reward {_number(step['reward'])}  value "
                    f"{_number(step['value'])}{end}{illegal}\n       legal {legal}"
                )
            )


def _figures(evidence: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in evidence.items() if isinstance(value, int | float) or name == "exception"}
    return ", ".join(f"{name} {_number(value)}" for name, value in list(shown.items())[:MOST_FIGURES])


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool | int | str):
        return str(value)
    return "0" if value == 0 else (f"{value:.2g}" if math.isfinite(value) else str(value))


def _shortened(text: str, limit: int = 240) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
