"""From each framework's capture of one task to the document of ``parity check``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from parity.errors import ExitCode
from parity.ladder.run_rungs import RUNGS, LadderResult, run_rungs
from parity.ladder.rung_input import RungInput
from parity.ladder.rungs.algorithm import seen
from parity.ladder.rungs.control import control
from parity.ladder.tolerances import tolerance
from parity.results.capture import Capture
from parity.results.check import CheckDocument
from parity.results.ladder import CARRYING
from parity.results.summary import RungResult

_NO_COLLECTOR = "{} collects no numbers (entry-point group parity.capture)"


def judge(
    task_id: str, collected: dict[str, Capture | None], device: str = "cpu"
) -> tuple[CheckDocument, dict[str, LadderResult]]:
    """The document of a task from each framework's capture; None stands for a framework that collects none."""
    allowed = tolerance(device)
    captures = {name: capture for name, capture in collected.items() if capture is not None}
    judged = {name: run_rungs(capture, tolerance=allowed) for name, capture in captures.items()}
    through = {name: seen(capture.algorithm) for name, capture in captures.items()}
    controls = {
        name: control(RungInput(capture.context, allowed), capture.control) for name, capture in captures.items()
    }
    not_compared = {
        name: judged[name].not_compared if name in judged else dict.fromkeys(CARRYING, _NO_COLLECTOR.format(name))
        for name in collected
        if name not in judged or (judged[name] and judged[name].not_compared)
    }
    parameter_map = {
        name: maps.candidates
        for name in not_compared
        if name in captures and (maps := captures[name].context.correspondence) and maps.candidates
    }
    document = CheckDocument(
        task=task_id,
        frameworks=list(collected),
        ladder={name: judged[name].rungs if name in judged else _not_collected(name) for name in collected},
        findings=[finding for name, each in judged.items() for finding in each.findings(task_id, name)],
        exit_code=_exit_code(judged.values(), not_compared),
        compared=not not_compared,
        not_compared=not_compared,
        parameter_map=parameter_map,
        device=device,
        algorithm={name: each for name, each in through.items() if each is not None},
        control={name: each for name, each in controls.items() if each is not None},
    )
    return document, judged


def _exit_code(ladders: Iterable[LadderResult], not_compared: Mapping[str, object]) -> ExitCode:
    if not all(ladders):
        return ExitCode.DOES_NOT_HOLD
    return ExitCode.UNDECIDED if not_compared else ExitCode.HOLDS


def _not_collected(name: str) -> dict[str, RungResult]:
    reason = _NO_COLLECTOR.format(name)
    return {rung: RungResult(rung=i, status="not_applicable", reason=reason) for i, rung in enumerate(RUNGS)}
