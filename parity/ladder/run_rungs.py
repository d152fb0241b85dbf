"""From a port's numbers to its ladder: every rung, its status, and the findings with their roots."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from parity.ladder.difference import largest
from parity.ladder.findings.raw_finding import RawFinding, as_findings, settle
from parity.ladder.rung_input import RungInput, RungReport
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
from parity.results.capture import Numbers
from parity.results.summary import Finding, RungResult, RungStatus

RUNGS: dict[str, Callable[[RungInput], RungReport]] = {
    "contract": contract,
    "forward": forward,
    "distribution": distribution,
    "rollout": rollout,
    "returns": returns,
    "loss": loss,
    "gradient": gradient,
    "step": step,
    "update": update,
    "lockstep": lockstep,
}
# Part of the collection -> the rung that it stops where it raises, and the finding; a module's id follows the part's name.
PARTS = {
    "build": ("contract", "PAR001"),
    "settings": ("contract", "PAR001"),
    "view": ("contract", "PAR001"),
    "forward": ("forward", "PAR107"),
    "space": ("forward", "PAR107"),
    "sb3 space": ("forward", "PAR107"),
    "grown": ("forward", "PAR107"),
    "control": ("forward", "PAR107"),
    "reach": ("gradient", "PAR107"),
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
    """A port's ladder.

    Attributes:
        rungs: name -> result, from the first to the last.
        found: all findings, roots first.
    """

    rungs: dict[str, RungResult]
    found: list[RawFinding]

    def __bool__(self) -> bool:
        """Whether it holds: no rung failed or could not run, and nothing that was found is an error."""
        broken = any(result.status in ("fail", "invalid") for result in self.rungs.values())
        return not broken and not any(found.is_error for found in self.found)

    def findings(self, task: str, framework: str) -> list[Finding]:
        """For ``summary.json``: roots with their consequences."""
        return as_findings(self.found, task, framework)


def run_rungs(numbers: Numbers, declared: Mapping[str, str] | None = None, tolerance: Tolerance = CPU) -> LadderResult:
    """Judges a port's numbers.

    Args:
        numbers: as a runner collected them.
        declared: what differs on purpose, code or field -> reason; those of the task that was collected where left out.
        tolerance: of the device that they were computed on.

    Returns:
        Every rung. In an ``explained`` rung the differences are what the known causes leave over; ``shares`` has each
        cause's part of the update, and codes of findings stand under ``findings``.
    """
    if declared is not None:
        numbers = Numbers(numbers.arrays, numbers.facts | {"declared": dict(declared)})
    evidence = RungInput(numbers, tolerance)
    left_out = numbers.facts.get("not_applicable", {})
    sheets = {
        name: RungReport(i, skipped=[left_out[name]]) if name in left_out else judge(evidence)
        for i, (name, judge) in enumerate(RUNGS.items())
    }
    for part, error in numbers.facts.get("raised", {}).items():
        rung, code = rung_of(part)
        message = f"{part} raised {error['type']}: {error['message']}"
        sheets[rung].report(
            code,
            f"rung {sheets[rung].rung} ({rung}), {part}",
            message,
            {"exception": error["type"], "message": error["message"]},
            module=part.rpartition(" ")[2] if " " in part else None,
        )
        sheets[rung].missing = sheets[rung].missing or [message]
    found = settle([each for sheet in sheets.values() for each in sheet.found], numbers.facts.get("declared", {}))
    return LadderResult({name: _result(sheet) for name, sheet in sheets.items()}, found)


def rung_of(part: str) -> tuple[str, str]:
    """The rung that a part of the collection stops where it raises, and the code of that finding."""
    return next(place for name, place in sorted(PARTS.items(), reverse=True) if part.startswith(name))


def _result(sheet: RungReport) -> RungResult:
    status, reason = _status(sheet)
    # The comparisons that failed and are explained are not among them: what is left over decides.
    worst = largest(sheet.differences)
    measured = bool(sheet.differences)
    return RungResult.model_validate(
        {
            "rung": sheet.rung,
            "status": status,
            "max_abs": worst.max_abs if measured else None,
            "max_rel": worst.max_rel if measured else None,
            "tolerance_needed": worst.tolerance_needed if measured else None,
            "where": worst.where,
            "reason": reason,
            "findings": sorted({each.code for each in sheet.found if each.severity == "error"}),
            "shares": sheet.shares,
        }
    )


def _status(sheet: RungReport) -> tuple[RungStatus, str | None]:
    errors = [each for each in sheet.found if each.is_error and each.code not in STOPPED]
    declared = [each for each in sheet.found if each.severity == "error" and each.declared is not None]
    if errors:
        return "fail", _words(next((each for each in errors if each.root is None), errors[0]))
    if sheet.missing:
        return "invalid", "; ".join(sheet.missing)
    if declared:
        return "declared", f"{declared[0].code}: {declared[0].declared}"
    if sheet.skipped:
        return "not_applicable", "; ".join(sheet.skipped)
    if sheet.explained:
        return "explained", "; ".join(dict.fromkeys(sheet.explained))
    return "pass", None


def _words(found: RawFinding) -> str:
    root = f", which follows from {found.root.code}" if found.root is not None else ""
    return f"{found.code}{root}: {found.message}"
