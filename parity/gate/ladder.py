"""The ladder against the baseline: a rung that held holds again, within the tolerance."""

from __future__ import annotations

from collections.abc import Iterator

from parity.gate.definition import Tasks
from parity.results.gate import Claim, Status
from parity.results.summary import RungResult, Summary


def ladder(baseline: Tasks, summary: Summary) -> Iterator[Claim]:
    for name, task in summary.tasks.items():
        known = baseline[name].frameworks if name in baseline else {}
        for framework in task.learns:
            then = known[framework].ladder if framework in known else {}
            now = task.ladder.get(framework, {})
            for rung in dict.fromkeys([*now, *then]):
                result, before = now.get(rung), then.get(rung)
                status, words = _rung(
                    result, before.status if before else None, before.tolerance_needed if before else None
                )
                yield Claim(
                    id=f"{name}.{framework}.ladder.{rung}",
                    kind="ladder",
                    status=status,
                    message=f"rung {rung} of {framework} on {name} {words}",
                    task=name,
                    framework=framework,
                    # A failed rung makes the study INVALID; what is meant to differ is declared in the task.
                    waivable=result is None or result.status not in ("fail", "invalid"),
                    figures={
                        "baseline_tolerance_needed": before.tolerance_needed if before else None,
                        "tolerance_needed": result.tolerance_needed if result else None,
                    },
                )


def _rung(now: RungResult | None, before: str | None, needed_before: float | None) -> tuple[Status, str]:
    held = before in ("pass", "explained", "declared")
    if now is None:
        return ("fail", f"is missing; in the baseline: {before}") if held else ("not_compared", "is missing, as before")
    since = "" if before in (None, now.status) else f"; in the baseline: {before}"
    reason = f" ({now.reason})" if now.reason and now.status in ("fail", "invalid") else ""
    if now.status in ("fail", "invalid"):
        words = "failed" if now.status == "fail" else "should have run and did not"
        return "fail", f"{words}{reason}{since}"
    if now.status == "not_applicable":
        return (
            ("fail", f"is not compared any more{since}")
            if held
            else ("not_compared", "has no counterpart in this port")
        )
    needed = now.tolerance_needed
    if needed is not None and needed > 1 and (needed_before is None or needed_before <= 1) and before is not None:
        return "fail", f"needs {needed:.2g} times the tolerance, where the baseline needed {needed_before or 0:.2g}"
    return "pass", f"holds: {now.status}{since}"
