"""What is known of one kind of defect, whatever the port."""

from __future__ import annotations

import dataclasses

from parity.results.summary import Severity

UPSTREAM = "https://github.com/ray-project/ray"


@dataclasses.dataclass(frozen=True)
class Rule:
    """One finding of the catalogue.

    Attributes:
        code: ``PAR`` and three digits, the first of which is the rung; never given to another defect.
        title: what is wrong, in a line.
        severity: of a finding of this kind, unless the rung that makes it says otherwise.
        explanation: why it matters: what training does with it.
        origin: how it comes about in ports that people write.
        fix: the remedy, as code where code is the remedy.
        explains: codes of findings that follow from this one in the same module; they are listed below it, not beside it.
        links: upstream issues, pull requests and documentation.
    """

    code: str
    title: str
    severity: Severity
    explanation: str
    origin: str
    fix: str
    explains: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def rung(self) -> int:
        return int(self.code[3])
