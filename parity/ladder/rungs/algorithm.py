"""Rungs 3 and 8 once more, through ``Algorithm``: every process samples, computes and ends up with what the short way has.

Collected by ``check --full`` and ``parity run``; without those numbers nothing here is asked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from parity.ladder.difference import Difference, per_tensor
from parity.ladder.rung_input import RungInput, RungReport, compare_column, figures
from parity.ladder.rungs.shares import after_steps

# RLlib rounds an iteration up to a step of every sub-environment; more than this beyond it is another rollout length.
LONGER_ITERATION = 1.1


def sampling(sheet: RungReport, evidence: RungInput) -> None:
    """Rung 3: each process computes the short way's logits; the actions' log-probs are those of the weights it should have."""
    for module in _modules(evidence):
        _logits(sheet, evidence, module)
        _log_probabilities(sheet, evidence, module)
    _length(sheet, evidence)


def updating(sheet: RungReport, evidence: RungInput) -> None:
    """Rung 8: learners and env runners hold the same weights after the iteration, and a learner alone gets the same ones."""
    for module in _modules(evidence):
        _same_weights(sheet, evidence, module)
        _same_update(sheet, evidence, module)
        _left_alone(sheet, evidence, module)


def seen(evidence: RungInput) -> dict[str, Any] | None:
    """What ran and how far it is apart at most, for people and scripts; None where nothing ran."""
    about = evidence.facts.get("algorithm")
    if about is None or "env_runners" not in about:
        return None
    modules = _modules(evidence)
    spread = [array for module in modules for array in evidence.numbers.below(f"{module}/algorithm/spread").values()]
    logp = [_apart(evidence, f"{module}/algorithm/logp", "sampling", "training") for module in modules]
    update = [
        np.abs(array.astype(np.float64) - alone[name]).max(initial=0.0)
        for module in modules
        for alone in [evidence.numbers.below(f"{module}/algorithm/alone")]
        for name, array in evidence.numbers.below(f"{module}/algorithm/through").items()
        if name in alone
    ]
    return {
        "env_runners": about["env_runners"],
        "learners": about["learners"],
        "env_steps": about.get("sampled"),
        "weights_apart": max((float(array.max(initial=0.0)) for array in spread), default=None),
        "log_probs_apart": max((value for value in logp if value is not None), default=None),
        "update_apart": max((float(value) for value in update), default=None),
    }


def _modules(evidence: RungInput) -> list[str]:
    return [] if "algorithm" not in evidence.facts else list(evidence.fact("modules", parts=("build",)))


def _apart(evidence: RungInput, folder: str, one: str, other: str) -> float | None:
    a, b = evidence.numbers.get(f"{folder}/{one}"), evidence.numbers.get(f"{folder}/{other}")
    return None if a is None or b is None else float(np.abs(a.astype(np.float64) - b).max(initial=0.0))


def _logits(sheet: RungReport, evidence: RungInput, module: str) -> None:
    for replica, logits in evidence.numbers.below(f"{module}/algorithm/logits").items():
        phase = "train" if replica.startswith("learner") else "inference"
        short = evidence.need(f"{module}/phase/{phase}/logits")[: len(logits)]
        difference = compare_column(evidence, module, logits, short, f"logits in {replica}")
        if not sheet.compare(difference):
            message = (
                f"{replica} computes other logits than the same module here, on the same weights and observations: they "
                f"differ by up to {difference.max_abs:.3g}"
            )
            sheet.report("PAR314", f"module {module}, {replica}", message, figures(difference), module=module)
            return


def _log_probabilities(sheet: RungReport, evidence: RungInput, module: str) -> None:
    folder = f"{module}/algorithm/logp"
    sampled, trained = evidence.numbers.get(f"{folder}/sampling"), evidence.numbers.get(f"{folder}/training")
    if sampled is None or trained is None:
        return
    difference = compare_column(evidence, module, sampled, trained, "log-probability", rows=lambda row: f"row {row}")
    known = any(found.code == "PAR303" and found.module == module for found in sheet.found)
    if not sheet.compare(difference) and not known:
        message = (
            f"through Algorithm, log-probabilities at sampling and at training differ by up to {difference.max_abs:.3g}, "
            "and not in the short way: env runners act on other weights or observations than the learner has"
        )
        sheet.report("PAR303", f"module {module}, env runners", message, figures(difference), module=module)


def _length(sheet: RungReport, evidence: RungInput) -> None:
    about = evidence.facts.get("algorithm", {})
    asked, sampled = about.get("asked"), about.get("sampled")
    if asked and sampled and sampled > LONGER_ITERATION * asked + about["sub_environments"]:
        message = f"an iteration takes {sampled:,} environment steps, the configuration asks for {asked:,}"
        sheet.report("PAR315", "env runners", message, {"sampled": sampled, "asked": asked})


def _same_weights(sheet: RungReport, evidence: RungInput, module: str) -> None:
    states = evidence.facts["algorithm"]["state"].get(module, {})
    for replica, apart in evidence.numbers.below(f"{module}/algorithm/spread").items():
        missing, names = states[replica]["missing"], states[replica]["names"]
        worst = int(np.argmax(np.where(np.isnan(apart), math.inf, apart))) if len(apart) else -1
        largest = float(apart[worst]) if len(apart) else 0.0
        where = missing[0] if missing else (names[worst] if names else None)
        needed = math.inf if missing or math.isnan(largest) else largest / evidence.tolerance.absolute
        if sheet.compare(Difference(largest, 0.0, needed, where if needed else None)):
            continue
        code = "PAR804" if replica.startswith("learner") else "PAR805"
        words = f"has no {', '.join(missing[:3])}" if missing else f"is apart from the first learner by {largest:.3g}"
        found = {"max_abs": largest, "entry": where, "missing": missing}
        sheet.report(code, f"module {module}, {replica}", f"{replica} {words} after an iteration", found, module=module)
        return


def _same_update(sheet: RungReport, evidence: RungInput, module: str) -> None:
    through, alone = (evidence.numbers.below(f"{module}/algorithm/{run}") for run in ("through", "alone"))
    if not alone:
        return
    trained = module in evidence.facts.get("settings", {})
    difference = per_tensor(through, alone, after_steps(evidence, module) if trained else evidence.tolerance)
    if not sheet.compare(difference):
        message = (
            f"after the same update from the same weights and episodes, parameters of Algorithm's learner and of a learner "
            f"alone differ by up to {difference.max_rel:.3g} of their norm ({difference.where})"
        )
        where = f"module {module}, parameter {difference.where}"
        sheet.report("PAR806", where, message, figures(difference), module=module)


def _left_alone(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """Between the iteration's last update and its end; a module that is not trained may be set to anything, as in self-play."""
    if not evidence.about(module)["trained"]:
        return
    updated, ended = (evidence.numbers.below(f"{module}/algorithm/{at}") for at in ("updated", "ended"))
    changed = [name for name in ended if not np.array_equal(ended[name], updated[name], equal_nan=True)]
    if changed:
        message = f"after its last update the iteration changes weights: {', '.join(changed[:4])}"
        where = f"module {module}, parameter {changed[0]}"
        sheet.report("PAR808", where, message, {"changed": changed}, module=module)
    rates = {at: each.get(module) for at, each in evidence.facts["algorithm"].get("learning_rates", {}).items()}
    if rates.get("updated") != rates.get("ended"):
        message = (
            f"after its last update the iteration changes the learning rate from {rates['updated']} to {rates['ended']}"
        )
        sheet.report("PAR808", f"module {module}", message, rates, module=module)
