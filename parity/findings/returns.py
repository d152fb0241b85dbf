"""Rung 4: advantages and value targets."""

from __future__ import annotations

from parity.findings.rule import UPSTREAM, Rule

_UPDATE = ("PAR501", "PAR602", "PAR603", "PAR701", "PAR702", "PAR801")

RULES = (
    Rule(
        code="PAR401",
        title="advantages are constant",
        severity="error",
        explanation="The policy has no gradient: it is told that every action was as good as every other.",
        origin="RLlib computed none and took zeros that the module returned, or rewards never arrive.",
        fix="class MyModule(TorchRLModule, ValueFunctionAPI)",
        explains=("PAR405", *_UPDATE),
    ),
    Rule(
        code="PAR402",
        title="value targets are constant",
        severity="error",
        explanation="The value function learns a constant, and drags shared layers with it.",
        origin="RLlib computed none and took zeros that the module returned, or rewards never arrive.",
        fix="class MyModule(TorchRLModule, ValueFunctionAPI)",
        explains=("PAR404", "PAR502", *_UPDATE),
    ),
    Rule(
        code="PAR403",
        title="the batch has no advantages or no value targets",
        severity="error",
        explanation="The loss stops with a KeyError.",
        origin="No module with ValueFunctionAPI, or a learner pipeline without GeneralAdvantageEstimation.",
        fix="class MyModule(TorchRLModule, ValueFunctionAPI)",
        explains=("PAR506",),
    ),
    Rule(
        code="PAR404",
        title="value targets differ from SB3's",
        severity="error",
        explanation="With the same rewards, ends and values the targets of the value function are others.",
        origin=(
            "Another gamma or lambda, ends that are counted otherwise, a connector of its own; in ray before the fix of "
            "issue 57683 every bootstrap value (2.47.1 is affected, 2.60 is not)."
        ),
        fix="config.training(gamma=..., lambda_=...)",
        explains=("PAR405", "PAR502", *_UPDATE),
        links=(f"{UPSTREAM}/issues/57683", f"{UPSTREAM}/pull/59958"),
    ),
    Rule(
        code="PAR405",
        title="advantages are neither SB3's nor RLlib's standardisation of them",
        severity="error",
        explanation="The policy gradient weighs actions otherwise.",
        origin="A connector or learner that rewrites advantages.",
        fix="Let GeneralAdvantageEstimation (or ExactReturns) be the last to write advantages.",
        explains=_UPDATE,
        links=(f"{UPSTREAM}/issues/57683",),
    ),
    Rule(
        code="PAR406",
        title="advantages or value targets are not finite",
        severity="error",
        explanation="The loss becomes NaN, and RLlib sets the gradient to zero and goes on.",
        origin="A reward or a value that is NaN or infinite.",
        fix="Look at rewards and values of the row that is named.",
        explains=("PAR402", "PAR404", "PAR405", "PAR502", "PAR505", "PAR601", *_UPDATE),
    ),
)
