"""The study against the baseline, as claims: that the two are comparable, the ladder, learning and throughput."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from parity.gate.changes import Tasks, changes, claim
from parity.gate.learning_claims import learning_claims
from parity.gate.throughput_claims import ThroughputSource, measured_speed, observed_speed
from parity.results.baseline import Baseline, RungBaseline, TaskBaseline
from parity.results.gate import Change, Claim, Status
from parity.results.summary import RungResult, Summary


def claims_against_baseline(
    baseline: Baseline, tasks: Tasks, summary: Summary, require: Collection[str], throughput: ThroughputSource
) -> list[Claim]:
    """Every claim on a change; ``tasks`` is the study in the form in which a baseline keeps it."""
    comparable = []
    claims = list(_presence(baseline.tasks, tasks))
    for name, task in tasks.items():
        if name in baseline.tasks:
            differences = _definition_changes(baseline.tasks[name], task)
            claims.append(_definition(name, differences))
            comparable += [] if differences else [name]
    claims += _ladder(baseline.tasks, summary)
    claims += learning_claims(baseline.tasks, tasks, summary, comparable, require)
    for name in comparable:
        claims += measured_speed(name, baseline.tasks[name], tasks[name])
        if throughput == "observed":
            claims += observed_speed(name, baseline.tasks[name], tasks[name])
    return claims


def _presence(baseline: Tasks, study: Tasks) -> Iterator[Claim]:
    """Every task and framework of the baseline is in the study too."""
    then, now = ({(name, fw) for name, task in tasks.items() for fw in task.frameworks} for tasks in (baseline, study))
    pairs = [(name, fw) for tasks in (baseline, study) for name, task in tasks.items() for fw in task.frameworks]
    for pair in dict.fromkeys(pairs):
        status: Status = "pass"
        words = "is in both"
        if pair not in now:
            status, words = "fail", "is in the baseline and not in the study"
        elif pair not in then:
            status, words = "not_compared", "is not in the baseline: nothing to compare it with"
        name, framework = pair
        yield claim(name, framework, "present", status, f"{framework} on {name} {words}")


def _definition_changes(then: TaskBaseline, now: TaskBaseline) -> list[Change]:
    a, b = (task.definition.model_dump(exclude={"ppo", "uniform_legal"}) for task in (then, now))
    differences = changes(a, b) + changes(then.definition.ppo, now.definition.ppo, prefix="ppo.")
    zero = then.definition.uniform_legal, now.definition.uniform_legal
    # Where a task does not give it, it is measured, and a sum in another order has other last digits.
    if not math.isclose(*zero, rel_tol=1e-6, abs_tol=1e-9):
        differences.append(Change(what="uniform_legal", baseline=f"{zero[0]:g}", study=f"{zero[1]:g}"))
    return differences


def _definition(name: str, differences: list[Change]) -> Claim:
    message = f"{name} is the same task"
    if differences:
        message = (
            f"{name} is another task since the baseline ({', '.join(map(str, differences))}): scores and throughput "
            "cannot be compared; `parity baseline accept` makes this study the baseline"
        )
    return claim(name, None, "definition", "fail" if differences else "pass", message)


def _ladder(baseline: Tasks, summary: Summary) -> Iterator[Claim]:
    """A rung that held holds again, within the tolerance."""
    for name, task in summary.tasks.items():
        known = baseline[name].frameworks if name in baseline else {}
        for framework in task.learns:
            then = known[framework].ladder if framework in known else {}
            now = task.ladder.get(framework, {})
            for rung in dict.fromkeys([*now, *then]):
                result, before = now.get(rung), then.get(rung)
                status, words = _rung(result, before)
                message = f"rung {rung} of {framework} on {name} {words}"
                yield claim(
                    name,
                    framework,
                    f"ladder.{rung}",
                    status,
                    message,
                    # A failed rung makes the study INVALID; what is meant to differ is declared in the task.
                    waivable=result is None or result.status not in ("fail", "invalid"),
                    figures={
                        "baseline_tolerance_needed": before.tolerance_needed if before else None,
                        "tolerance_needed": result.tolerance_needed if result else None,
                    },
                )


def _rung(now: RungResult | None, before: RungBaseline | None) -> tuple[Status, str]:
    held = before is not None and before.status in ("pass", "explained", "declared")
    in_baseline = f"; in the baseline: {before.status}" if before else ""
    if now is None:
        return ("fail", f"is missing{in_baseline}") if held else ("not_compared", "is missing, as before")
    since = in_baseline if before and before.status != now.status else ""
    if now.status in ("fail", "invalid"):
        words = "failed" if now.status == "fail" else "should have run and did not"
        return "fail", f"{words}{f' ({now.reason})' if now.reason else ''}{since}"
    if now.status == "not_applicable":
        absent = "has no counterpart in this port"
        return ("fail", f"is not compared any more{since}") if held else ("not_compared", absent)
    needed, needed_before = now.tolerance_needed or 0, before.tolerance_needed or 0 if before else 0
    if before is not None and needed > 1 and needed_before <= 1:
        return "fail", f"needs {needed:.2g} times the tolerance, where the baseline needed {needed_before:.2g}"
    return "pass", f"holds: {now.status}{since}"
