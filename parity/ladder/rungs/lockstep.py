"""Rung 9: whole iterations of sampling and updating."""

from __future__ import annotations

import dataclasses
from typing import Any

from parity.ladder.divergence import Divergence, Place, diverge
from parity.ladder.rung_input import RungInput, RungReport
from parity.ladder.rungs.view import repetition
from parity.ladder.tolerances import Tolerance
from parity.results.capture import Contract, Lockstep, Missing, View

CODES = {"difference": "PAR901", "environment": "PAR902"}


def lockstep(inputs: RungInput, capture: Lockstep | None, contract: Contract) -> RungReport:
    """Same actions, rewards, ends and values at every step, same parameters after every minibatch."""
    report = RungReport(9)
    inputs.attempt(report, _lockstep, report, inputs, capture, contract)
    return report


def _lockstep(report: RungReport, inputs: RungInput, capture: Lockstep | None, contract: Contract) -> None:
    if capture is None:
        # Where anything else raised, it did not get so far.
        raise Missing("lockstep", tuple(inputs.context.raised))
    if capture.reason:
        report.skipped.append(capture.reason)
        return
    if capture.iterations == 0:
        report.misses("no iteration ended")
        return
    divergence = diverge(capture, inputs.tolerance)
    agrees = f"{divergence.length()}{', to the last bit' if divergence.first_bit is None else ''}"
    report.compare(dataclasses.replace(divergence.held, where=divergence.held.where or agrees))
    place = divergence.parted
    if place is None:
        return
    of_environment = divergence.origin == "environment"
    if divergence.origin == "float noise":
        _noise(report, capture, divergence, place)
    elif of_environment and contract.has("view") and _is_unrepeatable(contract.view, inputs.tolerance):
        report.skipped.append(
            f"{place.words()}: {place.values()}; two copies of one environment differ as well (PAR035, PAR062), so "
            "nothing beyond that can be compared"
        )
    elif of_environment and capture.others:
        report.skipped.append(
            f"{place.words()}: {place.values()}; besides the learning agent {', '.join(capture.others)} acts, which SB3's "
            f"environment does not have; until there everything agrees"
        )
    else:
        _difference(report, capture, divergence, place)


def _is_unrepeatable(view: View, tolerance: Tolerance) -> bool:
    return bool(view.reseeds) or repetition(view, tolerance) is not None


def _noise(report: RungReport, capture: Lockstep, divergence: Divergence, place: Place) -> None:
    first = divergence.first_bit
    assert first is not None
    words = (
        f"after {divergence.length()}: a first bit differs at {first.words()} ({first.difference:.1g}), and at "
        f"{place.words()} that has grown beyond the tolerance ({place.difference:.1g})"
    )
    report.explained.append(f"from float noise: {words}")
    where = f"module {capture.module}, {place.words()}"
    report.report("PAR904", where, words, _figures(divergence, place), module=capture.module)


def _difference(report: RungReport, capture: Lockstep, divergence: Divergence, place: Place) -> None:
    needed = divergence.held.tolerance_needed
    before = "to the last bit" if needed == 0 else f"within {needed:.2g} of the tolerance"
    margin = "" if place.margin is None else f", where a probability would have to be off by {place.margin:.2g}"
    message = f"{place.words()}: {place.values()}{margin}; everything before, {divergence.length()}, agrees {before}"
    where = f"module {capture.module}, agent {capture.agent}, {place.words()}"
    assert divergence.origin in CODES
    report.report(CODES[divergence.origin], where, message, _figures(divergence, place), module=capture.module)


def _figures(divergence: Divergence, place: Place) -> dict[str, Any]:
    """All that is known of the place, and what led there."""
    figures: dict[str, Any] = {
        "iteration": place.iteration,
        "step": place.step,
        "sub_environment": place.env,
        "minibatch": place.minibatch,
        "quantity": place.quantity,
        "parameter": place.parameter,
        "sb3": place.sb3,
        "port": place.port,
        "difference": place.difference,
        "tolerance_needed": place.needed,
        "origin": divergence.origin,
        "iterations_held": divergence.iterations,
        "minibatches_held": divergence.minibatches,
        "tolerance_needed_before": divergence.held.tolerance_needed,
        "first_bit": None if divergence.first_bit is None else divergence.first_bit.words(),
    }
    return {name: value for name, value in figures.items() if value is not None}
