"""From claims to an exit code and one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from parity.errors import ExitCode
from parity.results.gate import BaselineUse, Change, Claim, WaiverUse, Word

WORDS: dict[ExitCode, Word] = {
    ExitCode.HOLDS: "PASS",
    ExitCode.DOES_NOT_HOLD: "FAIL",
    ExitCode.UNDECIDED: "UNDECIDED",
}
# More of them make no sentence; the report has all.
NAMED = 3


def exit_code(claims: Sequence[Claim]) -> ExitCode:
    """1 where a claim fails, else 3 where one is undecided that has to be decided, else 0."""
    statuses = {claim.status for claim in claims}
    if "fail" in statuses:
        return ExitCode.DOES_NOT_HOLD
    return ExitCode.UNDECIDED if "undecided" in statuses else ExitCode.HOLDS


def sentence(
    claims: Sequence[Claim],
    versions: Sequence[Change],
    machine: Sequence[Change],
    waivers: Sequence[WaiverUse],
    baseline: BaselineUse,
) -> str:
    """What has changed in the versions, then what fails or is open, then what was waived, and what was not compared."""
    clauses = []
    if versions:
        clauses.append(f"{', '.join(map(str, versions))} since the baseline")
    code = exit_code(claims)
    against = f"the baseline that {baseline.by} accepted on {baseline.accepted[:10]}"
    if code is ExitCode.HOLDS:
        held = sum(claim.status == "pass" for claim in claims)
        open_ = sum(claim.status == "open" for claim in claims)
        clauses.append(
            f"{held} claims hold against {against}"
            + (f", {open_} {'is' if open_ == 1 else 'are'} open and not required" if open_ else "")
        )
    else:
        shown = telling(
            [claim for claim in claims if claim.status == ("fail" if code is ExitCode.DOES_NOT_HOLD else "undecided")]
        )
        more = f"; and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
        clauses.append("; ".join(claim.message for claim in shown[:NAMED]) + more)
    waived = [claim.id for claim in claims if claim.status == "waived"]
    if waived:
        clauses.append(f"{len(waived)} waived: " + "; ".join(use.message for use in waivers if use.state == "used"))
    clauses += [use.message for use in waivers if use.state in ("expired", "refused")]
    if machine:
        clauses.append(
            f"other machine than the baseline's ({', '.join(map(str, machine))}): only ratios of throughput are compared"
        )
    return "; ".join(clauses) + "."


def telling(claims: Sequence[Claim]) -> list[Claim]:
    """Without what follows from another one: why a task is INVALID is in the claim that says so."""
    invalid = {claim.task for claim in claims if claim.kind == "valid" and claim.status == "fail"}
    return [claim for claim in claims if claim.kind == "valid" or claim.waivable or claim.task not in invalid]
