"""From each framework's numbers of one task to the document of ``parity check``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parity.errors import ExitCode
from parity.ladder.run_rungs import RUNGS, LadderResult, run_rungs
from parity.ladder.rung_input import RungInput
from parity.ladder.rungs.algorithm import seen
from parity.ladder.rungs.control import control
from parity.ladder.tolerances import tolerance
from parity.results.capture import Numbers
from parity.results.check import CheckDocument
from parity.results.summary import RungResult


def judge(
    task_id: str, collected: dict[str, Numbers | None], device: str = "cpu"
) -> tuple[CheckDocument, dict[str, LadderResult]]:
    """The document of a task from each framework's numbers; None stands for a framework that collects none."""
    climbs = {name: run_rungs(numbers, tolerance=tolerance(device)) for name, numbers in collected.items() if numbers}
    ladder = {name: climbs[name].rungs if name in climbs else _no_numbers(name) for name in collected}
    holds = all(climbs.values())
    document = CheckDocument(
        task=task_id,
        frameworks=list(collected),
        ladder=ladder,
        findings=[finding for name, each in climbs.items() for finding in each.findings(task_id, name)],
        exit_code=ExitCode.HOLDS if holds else ExitCode.DOES_NOT_HOLD,
        device=device,
        algorithm=_asked(seen, collected, device),
        control=_asked(control, collected, device),
    )
    return document, climbs


def _asked(
    question: Callable[[RungInput], dict[str, Any] | None], collected: dict[str, Numbers | None], device: str
) -> dict[str, dict[str, Any]]:
    """What ``question`` says of each framework's numbers, where it says anything."""
    answers = {name: question(RungInput(numbers, tolerance(device))) for name, numbers in collected.items() if numbers}
    return {name: answer for name, answer in answers.items() if answer is not None}


def _no_numbers(name: str) -> dict[str, RungResult]:
    reason = f"{name} collects no numbers (entry-point group parity.capture)"
    return {rung: RungResult(rung=i, status="not_applicable", reason=reason) for i, rung in enumerate(RUNGS)}
