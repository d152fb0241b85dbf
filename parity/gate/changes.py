"""What is another value in the study than in its baseline: versions, machine, configuration; and the claim on a change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from parity.results.baseline import FrameworkBaseline, TaskBaseline
from parity.results.gate import Change, Claim, Status, show

Tasks = Mapping[str, TaskBaseline]

# Listed first, in this order: what decides most about the numbers.
FIRST = ("ray", "stable-baselines3", "sb3-contrib", "torch", "gymnasium", "python", "parity", "study schema")


def claim(task: str | None, framework: str | None, what: str, status: Status, message: str, **fields: Any) -> Claim:
    """``what`` is the end of the claim's id, behind task and framework, and begins with its kind; no task: all together."""
    return Claim(
        id=".".join(filter(None, [task or "pooled", framework, what])),
        kind=what.partition(".")[0],
        status=status,
        message=message,
        task=task,
        framework=framework,
        **fields,
    )


def version_changes(baseline: Mapping[str, str], study: Mapping[str, str]) -> list[Change]:
    names = [*FIRST, *sorted({*baseline, *study} - {*FIRST})]
    return changes({name: baseline.get(name) for name in names}, study)


def configuration_changes(baseline: Tasks, study: Tasks) -> list[Change]:
    """Where the effective configuration of a framework is another one: shown, whatever the verdict."""
    return [
        change
        for name, framework, then, now in in_both(baseline, study)
        for change in changes(then.configuration, now.configuration, prefix=f"{name}.{framework}: ")
    ]


def in_both(baseline: Tasks, study: Tasks) -> Iterator[tuple[str, str, FrameworkBaseline, FrameworkBaseline]]:
    """Task, framework, and what it did then and now, where baseline and study have it."""
    for name, task in study.items():
        for framework, now in task.frameworks.items():
            then = baseline[name].frameworks.get(framework) if name in baseline else None
            if then is not None:
                yield name, framework, then, now


def changes(baseline: Mapping[str, Any], study: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """What differs, by name, in the order of the baseline and then of the study."""
    return [
        Change(what=f"{prefix}{name}", baseline=show(baseline.get(name)), study=show(study.get(name)))
        for name in dict.fromkeys([*baseline, *study])
        if not _same(baseline.get(name), study.get(name))
    ]


def _same(a: Any, b: Any) -> bool:
    """Equal as JSON: ``study.json`` and a baseline were both read from it."""
    return json.dumps(a, sort_keys=True, default=str) == json.dumps(b, sort_keys=True, default=str) or (
        isinstance(a, int | float) and isinstance(b, int | float) and not isinstance(a, bool) and a == b
    )
