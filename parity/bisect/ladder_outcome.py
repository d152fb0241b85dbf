"""What the ladder says of one hybrid, in short and as plain data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from parity.bisect.worker_pool import DIED, HUNG
from parity.ladder.findings import RULES

if TYPE_CHECKING:
    from parity.ladder.findings.raw_finding import RawFinding
    from parity.ladder.run_rungs import LadderResult

# A code beside those of findings and of lost processes: parity cannot build the hybrid.
REFUSED = "refused"
_TITLES = {
    REFUSED: "the port cannot be built",
    DIED: "the process that climbed the ladder died",
    HUNG: "the ladder came to no end",
}
# The first rung where float noise may pass a tolerance: gradients. Below it, noise and differences are far apart.
FIRST_NOISY_RUNG = 6
# Code of a finding and what it is about: the same error in two ladders has the same.
Identity = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class LadderError:
    """One error of a ladder: what the finding and its rule say."""

    code: str  # of the finding, or `REFUSED`, `DIED`, `HUNG`
    about: (
        str  # what it is about where one code says several things: a field of the configuration, an exception; else ""
    )
    rung: int
    title: str
    message: str
    fix: str = ""
    is_root: bool = True  # whether it follows from no other

    @property
    def identity(self) -> Identity:
        return self.code, self.about

    @property
    def in_catalogue(self) -> bool:
        """Whether it is a finding, whose code ``parity rules`` explains."""
        return self.code.startswith("PAR")


@dataclasses.dataclass(frozen=True)
class LadderOutcome:
    """The ladder of a hybrid: the first rung that breaks and its reason, None and "" where all hold; errors, roots first."""

    holds: bool
    rung: int | None = None
    rung_name: str | None = None
    errors: tuple[LadderError, ...] = ()
    reason: str = ""
    seconds: float = 0.0

    @property
    def root_errors(self) -> list[LadderError]:
        return [error for error in self.errors if error.is_root]

    @property
    def roots(self) -> frozenset[Identity]:
        return frozenset(error.identity for error in self.root_errors)

    @property
    def identities(self) -> frozenset[Identity]:
        return frozenset(error.identity for error in self.errors)

    @property
    def codes(self) -> list[str]:
        """Codes of the roots, each once."""
        return list(dict.fromkeys(error.code for error in self.root_errors))


def summarise(result: LadderResult, seconds: float) -> LadderOutcome:
    """The outcome of a ladder that was run."""
    if result:
        return LadderOutcome(True, seconds=seconds)
    errors = tuple(error for finding in result.raw_findings if finding.is_error for error in _errors(finding))
    broken = [(name, rung) for name, rung in result.rungs.items() if rung.status in ("fail", "invalid")]
    if not broken:
        return LadderOutcome(False, min(error.rung for error in errors), None, errors, errors[0].message, seconds)
    name, rung = broken[0]
    reason = rung.reason or ""
    errors = errors or (LadderError("invalid", name, rung.rung, f"rung {name} could not run", reason),)
    return LadderOutcome(False, rung.rung, name, errors, reason, seconds)


def no_ladder(code: str, message: str, seconds: float = 0.0) -> LadderOutcome:
    """The outcome of a hybrid whose ladder could not be run to its end. ``code``: `REFUSED`, `DIED` or `HUNG`."""
    error = LadderError(code, "", 0, _TITLES[code], message)
    return LadderOutcome(False, 0, "contract", (error,), message, seconds)


def _errors(finding: RawFinding) -> list[LadderError]:
    """One for each thing that the finding lists: all fields of the configuration that differ have one finding together."""
    rule = RULES[finding.code]
    listed = [name for name, value in finding.evidence.items() if isinstance(value, dict)]
    if not listed and "exception" in finding.evidence:
        listed = [str(finding.evidence["exception"])]
    return [
        LadderError(
            finding.code,
            about,
            finding.rung,
            rule.title,
            finding.message,
            finding.fix or rule.fix,
            finding.root is None,
        )
        for about in (listed or [""])
    ]
