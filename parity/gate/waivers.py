"""Waivers applied: a claim that fails and shall not stop a release. They expire and are never silent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase

from parity.errors import CannotStart
from parity.results.gate import Claim, WaiverState, WaiverUse
from parity.results.waivers import Waiver


def apply_waivers(
    waivers: Sequence[Waiver], claims: Sequence[Claim], today: date
) -> tuple[list[Claim], list[WaiverUse]]:
    """The claims, with those waived that a waiver in force covers, and what became of each waiver.

    Raises:
        CannotStart: a waiver's glob matches claims of more than one kind.
    """
    after, uses = list(claims), []
    for waiver in waivers:
        matched = [index for index, claim in enumerate(claims) if fnmatchcase(claim.id, waiver.claim)]
        kinds = list(dict.fromkeys(claims[index].kind for index in matched))
        if len(kinds) > 1:
            raise CannotStart(
                f"The waiver of {waiver.claim} matches claims on {', '.join(kinds)}: a waiver is for claims of one kind; "
                "name it more narrowly."
            )
        broken = [index for index in matched if claims[index].status in ("fail", "undecided")]
        state = _state(waiver, [claims[index] for index in matched], [claims[index] for index in broken], today)
        covers = [index for index in broken if claims[index].waivable] if state == "used" else []
        for index in covers:
            claim = claims[index]
            message = f"waived until {waiver.expires} by {waiver.by} ({waiver.reason}): {claim.message}"
            after[index] = claim.model_copy(update={"status": "waived", "message": message})
        uses.append(_use(waiver, state, [claims[index].id for index in covers]))
    return after, uses


def _state(waiver: Waiver, matched: Sequence[Claim], broken: Sequence[Claim], today: date) -> WaiverState:
    if waiver.expires < today:
        return "expired"
    if not matched:
        return "no_such_claim"
    if waiver.granted > today:
        return "not_yet_granted"
    if not broken:
        return "unused"
    return "used" if any(claim.waivable for claim in broken) else "refused"


def _use(waiver: Waiver, state: WaiverState, covers: list[str]) -> WaiverUse:
    words = {
        "used": f"covers {', '.join(covers)} until {waiver.expires}",
        "unused": "is not needed: what it names holds",
        "no_such_claim": "matches no claim of this study",
        "expired": f"expired on {waiver.expires} and waives nothing",
        "not_yet_granted": f"is granted from {waiver.granted} on and waives nothing yet",
        "refused": "waives nothing: what makes a study INVALID is mended, or declared in the task",
    }
    return WaiverUse(
        claim=waiver.claim,
        reason=waiver.reason,
        by=waiver.by,
        granted=str(waiver.granted),
        expires=str(waiver.expires),
        state=state,
        covers=covers,
        message=f"the waiver of {waiver.claim} ({waiver.by}: {waiver.reason}) {words[state]}",
    )
