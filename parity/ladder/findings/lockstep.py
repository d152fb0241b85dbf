"""Rung 9: whole iterations of sampling and updating, from one stream of randomness."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

RULES = (
    Rule(
        code="PAR901",
        title="the port parts from SB3 in lockstep",
        severity="error",
        explanation=(
            "From the same weights, environments, uniforms and permutations the two take other actions or learn something "
            "else, and that does not start from the last bit of a float: a single measurement jumps."
        ),
        origin=(
            "What one rollout and one update do not show: episodes that go on across rollouts, an optimiser or schedule with "
            "state, weights that do not reach the env runner, another hyperparameter."
        ),
        fix="The finding names the first place; everything before it agrees. Look at what the port does there.",
    ),
    Rule(
        code="PAR902",
        title="the port's environment answers otherwise than SB3's",
        severity="error",
        explanation="From the same seed and with the same actions, it shows or gives the learning agent something else.",
        origin=(
            "Another environment, a seed that does not reach it, randomness of its own, an episode that is reset in another "
            "step, an observation that is no copy."
        ),
        fix="Step both environments with the same seed and actions up to the place that the finding names.",
    ),
    Rule(
        code="PAR903",
        title="a run in lockstep stops with an exception",
        severity="error",
        explanation="One rollout and one update were possible; whole iterations were not.",
        origin="An exception in the environment, module or learner that needs more than one iteration to occur.",
        fix="The log has the traceback; the exception's own message names the place.",
    ),
    Rule(
        code="PAR904",
        title="lockstep ends from float noise",
        severity="info",
        explanation=(
            "The two sides' operations differ in the last bit; training amplifies that. Measured, implementations that do "
            "part after some ten to six hundred minibatches, whenever a unit of a ReLU or a clipped ratio first falls on "
            "the other side."
        ),
        origin="Another order of float operations, in the masking for example.",
        fix="Nothing has to be fixed. parity's own module does SB3's operations in SB3's order and stays bit-identical.",
    ),
)
