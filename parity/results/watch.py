"""``watch.jsonl``: what was seen while a training ran, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from parity.errors import CannotStart
from parity.results.model import Stored
from parity.results.reading import cannot_read, read_text
from parity.results.summary import Severity

WATCH_FILE = "watch.jsonl"


class WatchEvent(Stored):
    """A line: a finding that begins or ends, or where a training begins.

    Attributes:
        event: ``start`` opens a training (one that is resumed opens another); ``end`` closes a finding that began before.
        iteration: of training, from 1, when it is told; of an end, the last that showed it. ``since``: the first that did.
        steps: environment steps by then.
        first_cause: the first error of this training that follows from no other.
        follows_from: the code of the finding that is known to bring this one about, where it was seen too.
        declared: the reason that a task gives, where it declares this.
    """

    event: Literal["start", "begin", "end"]
    iteration: int = 0
    steps: int = 0
    since: int = 0
    code: str = ""
    severity: Severity = "info"
    title: str = ""
    module: str | None = None
    message: str = ""
    evidence: dict[str, Any] = {}
    fix: str = ""
    first_cause: bool = False
    follows_from: str | None = None
    declared: str | None = None

    @property
    def sentence(self) -> str:
        """As it stands in logs."""
        if self.event == "start":
            return f"parity.watch: {self.message}"
        where = "" if self.module is None else f", module {self.module}"
        head = f"parity.watch: iteration {self.iteration}{where}: {self.code} {self.title}"
        if self.event == "end":
            return f"{head}: {self.message}."
        tail = f" Follows from {self.follows_from}." if self.follows_from else f" Fix: {self.fix}"
        first = "first cause: " if self.first_cause else ""
        return f"{head} ({self.severity}): {first}{self.message}.{tail}"


def read_events(path: Path) -> list[WatchEvent]:
    """The lines of a ``watch.jsonl``; a last line that was cut off by a killed training is left out.

    An empty list where there is no such file.

    Raises:
        CannotStart: it cannot be read, or another line is no event.
    """
    if not path.is_file():
        return []
    try:
        lines = read_text(path).splitlines()
    except (ValueError, OSError) as error:
        raise cannot_read(path, error, "it is what parity.watch writes") from error
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(WatchEvent.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            if number < len(lines):
                raise CannotStart(f"{path}, line {number}: no event of parity.watch; remove the line.") from error
    return events


def first_cause(events: Sequence[WatchEvent]) -> str | None:
    """What went wrong first, with when it began: the middle of a sentence. None where no error was seen."""
    cause = next((each for each in events if each.first_cause), None)
    if cause is None:
        return None
    module = f" in module {cause.module}" if cause.module else ""
    return f"{cause.code} {cause.title}{module} since iteration {cause.since} (step {cause.steps}): {cause.message}"
