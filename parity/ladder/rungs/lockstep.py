"""Rung 9: whole iterations of sampling and updating."""

from __future__ import annotations

import dataclasses
from typing import Any

from parity.ladder.divergence import Divergence, Place, diverge
from parity.ladder.rung_input import Missing, RungInput, RungReport
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.view import repetition

CODES = {"difference": "PAR901", "environment": "PAR902"}


def lockstep(evidence: RungInput) -> RungReport:
    """Same actions, rewards, ends and values at every step, same parameters after every minibatch."""
    sheet = RungReport(9)
    attempt(sheet, _lockstep, evidence)
    return sheet


def _lockstep(sheet: RungReport, evidence: RungInput) -> None:
    facts = evidence.fact("lockstep", parts=evidence.facts.get("raised", {}))
    if facts["reason"] is not None:
        sheet.skipped.append(facts["reason"])
        return
    if facts["iterations"] == 0:
        raise Missing("no iteration ended")
    found = diverge(evidence.numbers, evidence.tolerance)
    agrees = f"{found.length()}{', to the last bit' if found.first_bit is None else ''}"
    sheet.compare(dataclasses.replace(found.held, where=found.held.where or agrees))
    place = found.parted
    if place is None:
        return
    if found.origin == "float noise":
        _noise(sheet, found, place, evidence)
    elif found.origin == "environment" and repetition(evidence) is not None:
        sheet.skipped.append(
            f"{place.words()}: {place.values()}; two copies of the single-agent environment differ as well (PAR035), so "
            "that nothing is to be seen beyond that"
        )
    elif found.origin == "environment" and facts["others"]:
        agents = ", ".join(facts["others"])
        sheet.skipped.append(
            f"{place.words()}: {place.values()}; beside the learning agent acts {agents}, which SB3's environment does not "
            f"have; until there everything agrees"
        )
    else:
        _difference(sheet, found, place, evidence)


def _noise(sheet: RungReport, found: Divergence, place: Place, evidence: RungInput) -> None:
    first = found.first_bit
    assert first is not None
    words = (
        f"after {found.length()}: a first bit differs at {first.words()} ({first.difference:.1g}), and at {place.words()} "
        f"that has grown beyond the tolerance ({place.difference:.1g})"
    )
    sheet.explained.append(f"from float noise: {words}")
    module = str(evidence.facts["lockstep"]["module"])
    sheet.report("PAR904", f"module {module}, {place.words()}", words, _figures(found, place), module=module)


def _difference(sheet: RungReport, found: Divergence, place: Place, evidence: RungInput) -> None:
    facts = evidence.facts["lockstep"]
    module = str(facts["module"])
    needed = found.held.tolerance_needed
    before = "to the last bit" if needed == 0 else f"within {needed:.2g} of the tolerance"
    margin = "" if place.margin is None else f", where a probability would have to be off by {place.margin:.2g}"
    message = f"{place.words()}: {place.values()}{margin}; everything before, {found.length()}, agrees {before}"
    where = f"module {module}, agent {facts['agent']}, {place.words()}"
    assert found.origin in CODES
    sheet.report(CODES[found.origin], where, message, _figures(found, place), module=module)


def _figures(found: Divergence, place: Place) -> dict[str, Any]:
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
        "origin": found.origin,
        "iterations_held": found.iterations,
        "minibatches_held": found.minibatches,
        "tolerance_needed_before": found.held.tolerance_needed,
        "first_bit": None if found.first_bit is None else found.first_bit.words(),
    }
    return {name: value for name, value in figures.items() if value is not None}
