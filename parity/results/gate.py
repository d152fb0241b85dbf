"""``gate.json``: what the gate decided, claim by claim. Fields may be added within a ``schema_version``, never renamed."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from parity.errors import printable
from parity.results.model import Stored
from parity.results.summary import Number, Summary

# pass: holds. fail: exit code 1. undecided: exit code 3. open: not decided, and nobody required it. not_compared: there is
# nothing that it could be compared with, and the reason is given. waived: failed or undecided, and a waiver covers it.
Status = Literal["pass", "fail", "undecided", "open", "not_compared", "waived"]
Outcome = Literal["PASS", "FAIL", "UNDECIDED"]
WaiverState = Literal["used", "unused", "no_such_claim", "expired", "not_yet_granted", "refused"]

GATE_FILE = "gate.json"
MARKDOWN_FILE = "gate.md"
BENCHMARK_FILE = "benchmark.json"


class Claim(Stored):
    """One thing that has to hold. ``id`` is what a waiver names: ``<task>.<framework>.<kind>...``.

    ``kind`` groups claims of one meaning; a waiver covers claims of one kind. ``waivable`` is false for what makes a study
    INVALID: such a run is mended, or the difference declared in the task, and not waived. ``cases`` names the test cases of
    the study's own ``junit.xml`` (suite and name) that say the same.
    """

    id: str
    kind: str
    status: Status
    message: str
    task: str | None = None
    framework: str | None = None
    waivable: bool = True
    figures: dict[str, Number | None] = {}
    cases: list[str] = []


class Change(Stored):
    """A value that was another one when the baseline was accepted; None where there was none."""

    what: str
    baseline: str | None
    study: str | None

    def __str__(self) -> str:
        return f"{self.what} {self.baseline or 'none'} -> {self.study or 'none'}"


class WaiverUse(Stored):
    """A waiver of the file, and what became of it; ``covers`` has the claims that it waived."""

    claim: str
    reason: str
    by: str
    granted: str
    expires: str
    state: WaiverState
    covers: list[str] = []
    message: str


class BaselineUse(Stored):
    """Which baseline the study was compared with."""

    accepted: str
    by: str
    reason: str
    study: str
    commit: str | None = None


class Gate(Stored):
    """The whole of ``gate.json``, and the field ``gate`` of what ``parity gate --json`` prints.

    ``summary_sha256`` is that of the ``summary.json`` that was gated. ``exit_code`` is the command's; the summary's own is
    that of the study by itself, without baseline and waivers.
    """

    schema_version: Literal[1] = 1
    parity_version: str
    study: str
    gated: str
    outcome: Outcome
    exit_code: int
    sentence: str
    require: list[str] = []
    baseline: BaselineUse
    versions: list[Change] = []
    machine: list[Change] = []
    configuration: list[Change] = []
    claims: list[Claim]
    waivers: list[WaiverUse] = []
    summary_sha256: str

    def having(self, *statuses: Status) -> list[Claim]:
        return [claim for claim in self.claims if claim.status in statuses]


class GatedSummary(Summary):
    """What ``parity gate --json`` prints: ``summary.json`` with the field ``gate``."""

    gate: Gate


def show(value: Any) -> str | None:
    """A stored value for people, on one line of sane length; None stays None."""
    return None if value is None else f"{value:g}" if isinstance(value, float) else printable(str(value))


def fingerprint(summary: Summary) -> str:
    """SHA-256 of what ``summary.json`` holds, in hexadecimal."""
    return hashlib.sha256(summary.to_json().encode()).hexdigest()
