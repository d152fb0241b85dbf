"""From a port's capture to its ladder: every rung, its status, and the findings with their roots."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from parity.ladder.difference import largest
from parity.ladder.findings.raw_finding import RawFinding, as_findings, settle
from parity.ladder.rung_input import RungInput, RungReport
from parity.ladder.rungs import connectors
from parity.ladder.rungs.contract import contract
from parity.ladder.rungs.distribution import distribution
from parity.ladder.rungs.forward import forward
from parity.ladder.rungs.gradient import gradient
from parity.ladder.rungs.lockstep import lockstep
from parity.ladder.rungs.loss import loss
from parity.ladder.rungs.returns import returns
from parity.ladder.rungs.rollout import rollout
from parity.ladder.rungs.step import step
from parity.ladder.rungs.update import update
from parity.ladder.tolerances import CPU, Tolerance
from parity.results.capture import Capture, Context, Raised
from parity.results.ladder import CARRYING
from parity.results.summary import Finding, RungResult, RungStatus

# In order: what judges the rung, and the fields of `Capture` that it takes besides the context.
RUNGS: dict[str, tuple[Callable[..., RungReport], tuple[str, ...]]] = {
    "contract": (contract, ("contract", "algorithm")),
    "forward": (forward, ("forward",)),
    "distribution": (distribution, ("distribution",)),
    "rollout": (rollout, ("rollout", "algorithm")),
    "returns": (returns, ("returns", "installed_formula")),
    "loss": (loss, ("loss",)),
    "gradient": (gradient, ("gradient",)),
    "step": (step, ("step",)),
    "update": (update, ("update", "algorithm")),
    "lockstep": (lockstep, ("lockstep", "contract")),
}
# Part of the collection -> the rung that it stops where it raises, and the finding; a module's id follows the part's name.
PARTS = {
    "build": ("contract", "PAR001"),
    "settings": ("contract", "PAR001"),
    "view": ("contract", "PAR001"),
    "forward": ("forward", "PAR107"),
    "space": ("forward", "PAR107"),
    "sb3 space": ("forward", "PAR107"),
    "scaled weights": ("forward", "PAR107"),
    "unit weights": ("forward", "PAR107"),
    "control": ("forward", "PAR107"),
    "sensitivity": ("gradient", "PAR107"),
    "sample": ("rollout", "PAR312"),
    "batch": ("rollout", "PAR312"),
    "observations": ("rollout", "PAR312"),
    "update": ("loss", "PAR506"),
    "update again": ("update", "PAR506"),
    "synchronise": ("update", "PAR506"),
    "sb3": ("loss", "PAR506"),
    "algorithm": ("update", "PAR807"),
    "lockstep": ("lockstep", "PAR903"),
}
STOPPED = frozenset(code for _, code in PARTS.values())


@dataclasses.dataclass(frozen=True)
class LadderResult:
    """A port's ladder."""

    rungs: dict[str, RungResult]  # name -> result, from the first to the last
    raw_findings: list[RawFinding]  # all findings, roots first
    # rung of `CARRYING` -> why it could not compare the port with SB3
    not_compared: dict[str, str] = dataclasses.field(default_factory=dict)
    other_side: str = "SB3"  # whom the port is compared with, in sentences

    def __bool__(self) -> bool:
        """Whether it holds: no rung failed or could not run, and no finding is an error."""
        broken = any(result.status in ("fail", "invalid") for result in self.rungs.values())
        return not broken and not any(finding.is_error for finding in self.raw_findings)

    def findings(self, task: str, framework: str) -> list[Finding]:
        """For ``summary.json``: roots with their consequences."""
        return as_findings(self.raw_findings, task, framework, self.other_side)


def run_rungs(capture: Capture, declared: Mapping[str, str] | None = None, tolerance: Tolerance = CPU) -> LadderResult:
    """Judges what was captured of a port.

    Args:
        declared: what differs on purpose, code or field -> reason; those of the task that was captured where left out.
        tolerance: of the device that the numbers were computed on.

    Returns:
        Every rung. In an ``explained`` rung the differences are what the known causes leave over; ``shares`` has each
        cause's part of the update, and codes of findings stand under ``findings``.
    """
    context = capture.context
    if declared is not None:
        context = dataclasses.replace(context, declared=dict(declared))
    inputs = RungInput(context, tolerance)
    reports = {
        name: RungReport(i, skipped=[context.not_applicable[name]])
        if name in context.not_applicable
        else judge(inputs, *(getattr(capture, field) for field in fields))
        for i, (name, (judge, fields)) in enumerate(RUNGS.items())
    }
    _report_raised(reports, context)
    findings = settle([each for report in reports.values() for each in report.findings], context.declared)
    rungs = {name: _result(report) for name, report in reports.items()}
    not_compared = {name: why for name in CARRYING if (why := _why_not_compared(rungs[name], reports[name]))}
    return LadderResult(rungs, findings, not_compared, context.other_side)


def _report_raised(reports: Mapping[str, RungReport], context: Context) -> None:
    """A finding for each part of the collection that raised; the same exception in a later part follows from the first."""
    first: dict[tuple[str, str, str | None], RawFinding] = {}
    for part, error in context.raised.items():
        rung, code = rung_of(part)
        report = reports[rung]
        message = f"{part} raised {error.type}: {error.message}"
        if error.connector:
            connectors.stopped(reports["contract"], part, error)
        finding = report.report(
            code,
            f"{error.place}, at rung {report.rung} ({rung})" if error.place else f"rung {report.rung} ({rung}), {part}",
            message,
            {"exception": error.type, "message": error.message, "place": error.place},
            module=part.rpartition(" ")[2] if " " in part else None,
            fix=_remedy(error),
            root=first.get((error.type, error.message, error.place)),
        )
        first.setdefault((error.type, error.message, error.place), finding)
        report.missing = report.missing or [f"{part} raised {error}"]


def _remedy(error: Raised) -> str | None:
    """What to do about an exception; None where only its traceback tells."""
    if error.place is not None:
        return f"Mend {error.place}; the log has the traceback."
    if error.type == "NotImplementedError" and error.function:
        return (
            f"Define {error.function} in the class that this port brings: RLlib calls it, and its base class has none."
        )
    return None


def rung_of(part: str) -> tuple[str, str]:
    """The rung that a part of the collection stops where it raises, and the code of that finding."""
    return next(place for name, place in sorted(PARTS.items(), reverse=True) if part.startswith(name))


def _result(report: RungReport) -> RungResult:
    status, reason = _status(report)
    # The comparisons that failed and are explained are not among them: what is left over decides.
    measured = dataclasses.asdict(largest(report.differences)) if report.differences else {}
    errors = sorted({each.code for each in report.findings if each.severity == "error"})
    rest = {"rung": report.rung, "status": status, "reason": reason, "findings": errors, "shares": report.shares}
    return RungResult.model_validate(rest | measured)


def _status(report: RungReport) -> tuple[RungStatus, str | None]:
    errors = [each for each in report.findings if each.is_error and each.code not in STOPPED]
    declared = [each for each in report.findings if each.severity == "error" and each.declared is not None]
    if errors:
        return "fail", _words(next((each for each in errors if each.root is None), errors[0]))
    if report.missing:
        return "invalid", "; ".join(report.missing)
    if declared:
        return "declared", f"{declared[0].code}: {declared[0].declared}"
    if report.skipped:
        return "not_applicable", "; ".join(report.skipped)
    if report.explained:
        return "explained", "; ".join(dict.fromkeys(report.explained))
    return "pass", None


def _why_not_compared(result: RungResult, report: RungReport) -> str | None:
    """Why a rung compared nothing with SB3; None where it did, or where it failed. Declaring a finding is no comparison."""
    if result.status in ("fail", "invalid") or (report.differences and not report.skipped):
        return None
    return "; ".join(report.skipped) or result.reason or "nothing was compared"


def _words(finding: RawFinding) -> str:
    root = f", which follows from {finding.root.code}" if finding.root is not None else ""
    return f"{finding.code}{root}: {finding.message}"
