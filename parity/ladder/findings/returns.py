"""Rung 4: advantages and value targets."""

from __future__ import annotations

from parity.ladder.findings.rule import UPSTREAM, Rule

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
        origin="Another gamma or lambda, ends that are counted otherwise, a connector of its own.",
        fix="config.training(gamma=..., lambda_=...)",
        explains=("PAR405", "PAR502", *_UPDATE),
    ),
    Rule(
        code="PAR405",
        title="advantages are neither SB3's nor RLlib's standardisation of them",
        severity="error",
        explanation="The policy gradient weighs actions otherwise.",
        origin="A connector or learner that rewrites advantages.",
        fix="Let GeneralAdvantageEstimation (or ExactReturns) be the last to write advantages.",
        explains=_UPDATE,
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
    Rule(
        code="PAR407",
        title="value targets are those of RLlib's defective formula",
        severity="error",
        explanation=(
            "After the last row of a chunk that was truncated or cut, the value of what follows counts as 0; with lambda < 1 "
            "the value of the row in which an episode terminates does so too. Long episodes are learned as if they ended with "
            "every rollout."
        ),
        origin=(
            "compute_value_targets and AddOneTsToEpisodesAndTruncate of older versions: ray 2.47.1 computes so, 2.60.0 does "
            "not (value_predictions.py, add_one_ts_to_episodes_and_truncate.py). Nothing in the port is wrong."
        ),
        fix='pip install "ray[rllib]==2.60.0" gymnasium==1.2.2',
        explains=("PAR402", "PAR404", "PAR405", "PAR502", *_UPDATE),
        links=(f"{UPSTREAM}/issues/57683", f"{UPSTREAM}/pull/59958"),
    ),
)
