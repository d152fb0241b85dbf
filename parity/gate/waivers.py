"""Waivers: a claim that fails and shall not stop a release, by whom, why and until when. They expire and are never silent.

The file is TOML, with a table for each, or JSON of the same form::

    [[waiver]]
    claim = "tiles.rllib.learning.final"
    reason = "ray 2.61 shuffles otherwise; tracked in our issue 12"
    by = "Ada"
    granted = 2026-11-20
    expires = 2027-01-20
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parity.errors import CannotStart
from parity.results.gate import Claim, WaiverState, WaiverUse
from parity.results.reading import complaint

WAIVERS_FILE = "parity-waivers.toml"
# Longer than that it is no waiver but the state of things, and belongs into the baseline.
LONGEST = timedelta(days=180)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Waiver(_Strict):
    """``claim`` is the id of a claim, or a glob over ids of one kind. It covers up to and including the day ``expires``."""

    claim: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)
    granted: date
    expires: date

    @model_validator(mode="after")
    def _in_time(self) -> Waiver:
        if self.expires < self.granted:
            raise ValueError(f"expires {self.expires} before it was granted, {self.granted}")
        if self.expires - self.granted > LONGEST:
            raise ValueError(
                f"expires {self.expires}, more than {LONGEST.days} days after it was granted, {self.granted}; "
                "what lasts longer belongs into the baseline"
            )
        return self

    def matches(self, claim: Claim) -> bool:
        return fnmatchcase(claim.id, self.claim)


class _File(_Strict):
    waiver: list[Waiver] = []


def load(path: Path) -> list[Waiver]:
    """The waivers of a file.

    Raises:
        CannotStart: it is missing or not as described above; the sentence names file, field and remedy.
    """
    if not path.is_file():
        raise CannotStart(f"--waivers {path}: there is no such file; leave the option out where nothing is waived.")
    try:
        text = path.read_text(encoding="utf-8")
        stored = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return _File.model_validate(stored).waiver
    except ValidationError as error:
        fields = ", ".join(Waiver.model_fields)
        raise CannotStart(f"{path}: {complaint(error)}; every [[waiver]] has {fields}.") from error
    except (ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotStart(f"{path} cannot be read: {reason}; it is TOML with [[waiver]] tables, or JSON.") from error


def apply(waivers: Sequence[Waiver], claims: Sequence[Claim], today: date) -> tuple[list[Claim], list[WaiverUse]]:
    """The claims, with those waived that a waiver in force covers, and what became of each waiver.

    Raises:
        CannotStart: a waiver's glob matches claims of more than one kind.
    """
    after, uses = list(claims), []
    for waiver in waivers:
        matched = [index for index, claim in enumerate(claims) if waiver.matches(claim)]
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
