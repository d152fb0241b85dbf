"""The table of built-in tasks that ``parity tasks`` prints."""

from __future__ import annotations

import dataclasses
import functools
import json
from importlib import resources
from typing import Any

from parity.errors import CannotStart, in_short
from parity.task.registry import BUILT_IN, load, resolve

# Written by benchmarks/tasks_measured.py from studies; beside the tasks, so that an installed package has it too.
MEASURED_FILE = "measured.json"


@dataclasses.dataclass(frozen=True)
class Row:
    """One task; ``steps``, ``margin``, ``reference`` and ``mask`` are those of `Task`.

    ``seconds``: framework -> wall-clock seconds of one trial, on the machine ``measured_on``; None where it was not measured.
    ``unavailable``: one sentence that says why it cannot be run here; None if it can.
    """

    id: str
    steps: int | None = None
    margin: float | None = None
    reference: dict[str, Any] | None = None
    mask: str | None = None
    action_space: str | None = None
    seconds: dict[str, float] | None = None
    measured_on: str | None = None
    unavailable: str | None = None


def rows() -> list[Row]:
    """Every built-in task; one whose package is missing has the reason in ``unavailable``."""
    return [_row(name) for name in BUILT_IN]


def measured() -> dict[str, dict[str, Any]]:
    """Task id -> ``seconds`` by framework, ``machine`` with reservations about the times, ``study`` and ``created``."""
    return {
        task: entry | {"machine": ", ".join(filter(None, [entry["machine"], entry.get("note")]))}
        for task, entry in _stored().items()
    }


@functools.cache
def _stored() -> dict[str, dict[str, Any]]:
    file = resources.files("parity_envs") / MEASURED_FILE
    return json.loads(file.read_text(encoding="utf-8"))["tasks"] if file.is_file() else {}


def _row(name: str) -> Row:
    from parity.task.masks import MaskedEnv

    known = measured().get(name, {})
    columns: dict[str, Any] = {"seconds": known.get("seconds"), "measured_on": known.get("machine")}
    try:
        task = load(resolve(name))
        columns |= {"steps": task.steps, "margin": task.margin, "reference": task.reference and dict(task.reference)}
        env = MaskedEnv(task.env(), task.mask)
        columns |= {"mask": env.convention, "action_space": str(env.action_space)}
        env.close()
    except CannotStart as error:
        columns["unavailable"] = str(error)
    except Exception as error:
        columns["unavailable"] = f"{in_short(error)}."
    return Row(id=name, **columns)
