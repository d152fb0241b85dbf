"""What a report says of the gate, from ``gate.json`` in the study's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parity.results.gate import GATE_FILE, Claim, Gate, Status, fingerprint
from parity.results.reading import read_json
from parity.results.summary import Summary

STATUS_WORDS: dict[Status, str] = {
    "fail": "fails",
    "undecided": "undecided, and required",
    "waived": "waived",
    "open": "open",
    "not_compared": "not compared",
    "pass": "holds",
}


@dataclass(frozen=True)
class GateSection:
    """``stale``: the study was judged otherwise since it was gated."""

    document: Gate
    stale: bool = False

    @property
    def broken(self) -> list[Claim]:
        """What somebody has to look at, the worst first."""
        return self._in_order("fail", "undecided", "waived")

    @property
    def others(self) -> list[Claim]:
        """What was not decided or not compared, then what holds."""
        return self._in_order("open", "not_compared", "pass")

    def _in_order(self, *statuses: Status) -> list[Claim]:
        return [claim for status in statuses for claim in self.document.having(status)]

    @property
    def counts(self) -> str:
        words: dict[Status, str] = {**STATUS_WORDS, "fail": "failed", "pass": "held"}
        numbers = {word: len(self.document.having(status)) for status, word in words.items()}
        return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


def gate_section(folder: Path, summary: Summary) -> GateSection | None:
    """None where the study was not gated.

    Raises:
        CannotStart: ``gate.json`` cannot be read.
    """
    path = folder / GATE_FILE
    if not path.is_file():
        return None
    gate = read_json(path, Gate, "delete it, or gate the study again")
    return GateSection(gate, gate.summary_sha256 != fingerprint(summary))
