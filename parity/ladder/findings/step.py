"""Rung 7: parameters after one step of the optimiser."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

RULES = (
    Rule(
        code="PAR701",
        title="parameters differ after one step",
        severity="error",
        explanation="From the same weights and gradient the optimiser goes somewhere else.",
        origin="Another optimiser, learning rate, weight decay or epsilon.",
        fix="config.training(lr=...)",
        explains=("PAR801",),
    ),
    Rule(
        code="PAR702",
        title="a trained parameter does not move",
        severity="error",
        explanation="It has a gradient, and after a whole update it is what it was.",
        origin="It is missing from the optimiser, or the learning rate is zero.",
        fix="Override configure_optimizers_for_module with all parameters of the module.",
        explains=("PAR701", "PAR801"),
    ),
    Rule(
        code="PAR703",
        title="a frozen parameter moves",
        severity="error",
        explanation="It should not be trained, and is another one after the update.",
        origin="A module outside policies_to_train that shares parameters or an optimiser with a trained one.",
        fix="Give the modules parameters and optimisers of their own.",
    ),
)
