"""``ladder.json``: the ladder of a study as it is stored. Read by judges, so no framework is imported here."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import RootModel, field_validator

from parity.results.model import Stored
from parity.results.reading import read_json
from parity.results.summary import Finding, RungResult

LADDER_FILE = "ladder.json"
RUNGS = ("contract", "forward", "distribution", "rollout", "returns", "loss", "gradient", "step", "update", "lockstep")
# Rungs that carry the claim that a port computes what SB3 computes: where one of them compared nothing, nobody knows.
CARRYING = ("forward", "distribution", "gradient", "step", "update")
Ladders = dict[str, dict[str, dict[str, RungResult]]]


class TaskLadder(Stored):
    """``ladder``: framework -> rung -> result."""

    ladder: dict[str, dict[str, RungResult]]
    findings: list[Finding]

    @field_validator("ladder")
    @classmethod
    def _rungs_stand_in_their_places(cls, ladder: dict[str, dict[str, RungResult]]) -> dict[str, dict[str, RungResult]]:
        for framework, rungs in ladder.items():
            for name, result in rungs.items():
                if name in RUNGS and RUNGS.index(name) != result.rung:
                    raise ValueError(f"{framework}.{name}: this is rung {RUNGS.index(name)}, and not {result.rung}")
        return ladder


class LadderFile(RootModel[dict[str, TaskLadder]]):
    """The whole of ``ladder.json``, by task."""


def has_own_ladder(folder: Path, digest: str | None) -> bool:
    """Whether a study has a ladder, and that of its ``StudyFile.ladder_digest``; older versions made no digest."""
    path = folder / LADDER_FILE
    return path.is_file() and digest in (None, hashlib.sha256(path.read_bytes()).hexdigest())


def load_ladder(folder: Path) -> tuple[Ladders | None, list[Finding]]:
    """Results as task -> framework -> rung -> result, None where the ladder did not run, and all findings.

    Raises:
        CannotStart: it cannot be read.
    """
    path = folder / LADDER_FILE
    if not path.is_file():
        return None, []
    tasks = read_json(path, LadderFile, "delete it and run again with --resume").root
    ladders = {task: stored.ladder for task, stored in tasks.items()}
    return ladders, [finding for stored in tasks.values() for finding in stored.findings]
