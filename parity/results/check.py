"""What ``parity check --json`` prints."""

from __future__ import annotations

import math
from typing import Any, Literal

from parity.results.model import Stored
from parity.results.summary import Finding, RungResult


class CheckDocument(Stored):
    """One task, checked: ``ladder`` and ``findings`` as in ``summary.json``.

    ``compared`` is false where a rung that carries the claim could not compare a framework with SB3, and ``not_compared`` says
    which and why, by framework; ``parameter_map`` then has SB3's parameters, each with those of the port that have its shape.
    ``log`` names the file with the tracebacks, null where nothing raised; ``notes`` says what raised where the check went on
    without it; ``trace`` holds the episodes of ``--trace``, by
    framework; ``left_out`` says of default frameworks why the installed versions cannot run them; ``algorithm`` what
    ``--full`` ran of each, and the largest differences that it saw; ``control``, for a GPU, how much of the tolerance the
    port's own module uses up between it and the CPU.
    """

    schema_version: Literal[1] = 1
    task: str
    frameworks: list[str]
    ladder: dict[str, dict[str, RungResult]]
    findings: list[Finding]
    exit_code: int
    compared: bool = True
    not_compared: dict[str, dict[str, str]] = {}
    parameter_map: dict[str, dict[str, list[str]]] = {}
    device: str = "cpu"
    log: str | None = None
    left_out: dict[str, str] = {}
    trace: dict[str, list[dict[str, Any]]] = {}
    notes: list[str] = []
    algorithm: dict[str, dict[str, Any]] = {}
    control: dict[str, dict[str, Any]] = {}

    def to_json(self) -> str:
        unused = {
            name
            for name in ("not_compared", "parameter_map", "notes", "trace", "algorithm", "control")
            if not getattr(self, name)
        }
        return self.model_dump_json(indent=1, exclude=unused)


def number(value: float) -> float | str:
    """A float as parity's JSON has it: NaN and infinities as strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
