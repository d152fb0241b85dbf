"""What the ladder says of one mixture, in short and as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from parity.ladder.findings import RULES
from parity.ladder.findings.raw_finding import RawFinding
from parity.ladder.run_rungs import LadderResult

# Codes of what is no finding of the ladder: the mixture was refused, or the process that climbed it died or was too slow.
REFUSED, DIED, HUNG = "refused", "died", "hung"
# From gradients on, float noise may be what differs; below it is told apart by the tolerances.
FIRST_NUMERIC = 6
Identity = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Error:
    """One error of a ladder.

    Attributes:
        code: of the finding, or `REFUSED`, `DIED`, `HUNG`.
        about: what it is about where one code says several things: a field of the configuration, an exception; else "".
        rung: number of the rung that saw it.
        title: the rule's.
        message: what was seen, with figures.
        fix: what to do about it.
        is_root: whether it follows from no other.
    """

    code: str
    about: str
    rung: int
    title: str
    message: str
    fix: str = ""
    is_root: bool = True

    @property
    def identity(self) -> Identity:
        return self.code, self.about


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A mixture's ladder.

    Attributes:
        holds: whether nothing breaks.
        rung, rung_name: the first that does; None where all hold.
        errors: roots first.
        reason: of the first rung that breaks.
        tracebacks: of what the port raised, by the part of the collection.
        seconds: wall clock.
    """

    holds: bool
    rung: int | None = None
    rung_name: str | None = None
    errors: tuple[Error, ...] = ()
    reason: str = ""
    tracebacks: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    @property
    def roots(self) -> frozenset[Identity]:
        return frozenset(error.identity for error in self.errors if error.is_root)

    @property
    def identities(self) -> frozenset[Identity]:
        return frozenset(error.identity for error in self.errors)


def of_climb(climb: LadderResult, raised: Mapping[str, Any], seconds: float) -> Verdict:
    """The verdict of a climbed ladder. ``raised``: ``facts["raised"]`` of the numbers."""
    if climb:
        return Verdict(True, seconds=seconds)
    broken = [(name, rung) for name, rung in climb.rungs.items() if rung.status in ("fail", "invalid")]
    errors = tuple(error for found in climb.found if found.is_error for error in _errors(found))
    name, first = broken[0] if broken else (None, None)
    if not errors and first is not None:
        errors = (Error("invalid", name or "", first.rung, f"rung {name} could not run", first.reason or ""),)
    return Verdict(
        False,
        rung=first.rung if first is not None else min(error.rung for error in errors),
        rung_name=name,
        errors=errors,
        reason=(first.reason or "") if first is not None else errors[0].message,
        tracebacks=tuple((part, error["traceback"]) for part, error in raised.items()),
        seconds=seconds,
    )


def stopped(code: str, message: str, seconds: float = 0.0) -> Verdict:
    """The verdict of a mixture whose ladder there is none of."""
    titles = {
        REFUSED: "the port cannot be built",
        DIED: "the process that climbed the ladder died",
        HUNG: "the ladder came to no end",
    }
    error = Error(code, "", 0, titles[code], message)
    return Verdict(False, 0, "contract", (error,), message, seconds=seconds)


def _errors(found: RawFinding) -> list[Error]:
    """One for each thing that the finding lists: fields of the configuration have one finding between them."""
    rule = RULES[found.code]
    listed = [name for name, value in found.evidence.items() if isinstance(value, dict)]
    if not listed and "exception" in found.evidence:
        listed = [str(found.evidence["exception"])]
    return [
        Error(found.code, about, found.rung, rule.title, found.message, found.fix or rule.fix, found.root is None)
        for about in (listed or [""])
    ]
