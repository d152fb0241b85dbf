"""``ladder.json``: the ladder of a study as it is stored. Read by judges, so no framework is imported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from parity.errors import CannotStart, one_line
from parity.results.summary import Finding, RungResult

LADDER_FILE = "ladder.json"
Ladders = dict[str, dict[str, dict[str, RungResult]]]


def load_ladder(folder: Path) -> tuple[Ladders | None, list[Finding]]:
    """What `climb_study` stored: task -> framework -> rung -> result, and all findings; None where it was not climbed.

    Raises:
        CannotStart: it cannot be read.
    """
    path = folder / LADDER_FILE
    if not path.is_file():
        return None, []
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        ladders = {
            task: {
                framework: {rung: RungResult.model_validate(result) for rung, result in rungs.items()}
                for framework, rungs in document["ladder"].items()
            }
            for task, document in stored.items()
        }
        findings = [Finding.model_validate(each) for document in stored.values() for each in document["findings"]]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CannotStart(
            f"{path} cannot be read: {one_line(error)[:200]}; delete it and run again with --resume."
        ) from error
    return ladders, findings
