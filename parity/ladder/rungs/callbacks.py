"""Rung 0, what the port's callbacks of ``Algorithm`` change between rollouts and updates."""

from __future__ import annotations

from parity.ladder.rung_input import RungReport
from parity.results.capture import AlgorithmRun, CallbackChange
from parity.results.summary import Severity

_FIXES = {
    "environment": 'Build the environment as it is to be played, on both sides; or Task(..., declared={"PAR059": "..."})',
    "weights": 'Leave weights to the optimiser; or Task(..., declared={"PAR059": "..."})',
    "settings": 'Give the schedule to config.training(...), and the same one to SB3; or Task(..., declared={"PAR059": "..."})',
}


def callbacks(report: RungReport, run: AlgorithmRun | None) -> None:
    """Each change that was seen; one that cannot be told from counting and logging is no error."""
    for change in run.callbacks if run is not None else []:
        severity, words = _judged(change)
        message = f"{change.callback} {words}: {', '.join(change.names)}"
        evidence = {"callback": change.callback, "changed": change.names, "plays_otherwise": change.plays_otherwise}
        report.report(
            "PAR059",
            f"{change.callback}, {change.where}",
            message,
            evidence,
            severity=severity,
            fix=_FIXES.get(change.what),
        )


def _judged(change: CallbackChange) -> tuple[Severity, str]:
    match change.what:
        case "weights":
            return "error", f"changes weights of module {change.where}"
        case "settings":
            return "error", "changes settings of training"
        case "self-play":
            return "info", "changes which modules there are, or who plays which"
    if change.plays_otherwise:
        return "error", "changes the environment, which then gives something else on the same seed and actions"
    if change.plays_otherwise is None:
        return "warning", "changes the environment, which cannot be copied to see whether it plays otherwise"
    if change.changes_in_play:
        return "info", "changes what the environment counts or keeps; it plays as before"
    return "warning", "changes the environment; in a few random episodes it plays as before"
