"""Is it the same study at all: tasks and frameworks of the baseline, and what makes each task that task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from parity.gate.baseline import FrameworkBaseline, TaskBaseline
from parity.gate.circumstances import changes
from parity.results.gate import Change, Claim, Status

Tasks = Mapping[str, TaskBaseline]


def both(baseline: Tasks, study: Tasks) -> Iterator[tuple[str, str, FrameworkBaseline, FrameworkBaseline]]:
    """Task, framework, and what it did then and now."""
    for name, task in study.items():
        for framework, now in task.frameworks.items():
            then = baseline[name].frameworks.get(framework) if name in baseline else None
            if then is not None:
                yield name, framework, then, now


def configuration_changes(baseline: Tasks, study: Tasks) -> list[Change]:
    """Where a framework's effective configuration is another one: shown, whatever the verdict."""
    return [
        change
        for name, framework, then, now in both(baseline, study)
        for change in changes(then.configuration, now.configuration, prefix=f"{name}.{framework}: ")
    ]


def presence(baseline: Tasks, study: Tasks) -> Iterator[Claim]:
    pairs = {(name, fw): True for tasks in (baseline, study) for name, task in tasks.items() for fw in task.frameworks}
    for name, framework in pairs:
        then = name in baseline and framework in baseline[name].frameworks
        now = name in study and framework in study[name].frameworks
        status: Status = "pass" if then and now else "not_compared" if now else "fail"
        message = {
            "pass": f"{framework} on {name} is in both",
            "fail": f"{framework} on {name} is in the baseline and not in the study",
            "not_compared": f"{framework} on {name} is not in the baseline: nothing to compare it with",
        }[status]
        yield Claim(
            id=f"{name}.{framework}.present",
            kind="present",
            status=status,
            message=message,
            task=name,
            framework=framework,
        )


def definition_changes(then: TaskBaseline, now: TaskBaseline) -> list[Change]:
    a, b = (task.definition.model_dump(exclude={"ppo", "uniform_legal"}) for task in (then, now))
    found = changes(a, b) + changes(then.definition.ppo, now.definition.ppo, prefix="ppo.")
    zero = then.definition.uniform_legal, now.definition.uniform_legal
    # Measured where a task does not give it: the same to the digits that a sum in another order leaves.
    if not math.isclose(*zero, rel_tol=1e-6, abs_tol=1e-9):
        found.append(Change(what="uniform_legal", baseline=f"{zero[0]:g}", study=f"{zero[1]:g}"))
    return found


def definitions(changed: Mapping[str, list[Change]]) -> Iterator[Claim]:
    for name, differences in changed.items():
        what = ", ".join(map(str, differences))
        remedy = "scores and throughput cannot be compared; `parity baseline accept` makes this study the baseline"
        yield Claim(
            id=f"{name}.definition",
            kind="definition",
            status="fail" if differences else "pass",
            message=f"{name} is another task since the baseline ({what}): {remedy}"
            if differences
            else f"{name} is the same task",
            task=name,
        )
