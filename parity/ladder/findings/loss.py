"""Rung 5: the terms of the loss, on the same minibatch and weights."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

_LATER = ("PAR603", "PAR701", "PAR801")

RULES = (
    Rule(
        code="PAR501",
        title="the policy loss differs",
        severity="error",
        explanation="The clipped surrogate of the same rows has another value.",
        origin="A loss of its own, another clip_param, bootstrap rows in the mean.",
        fix="config.training(clip_param=...)",
        explains=_LATER,
    ),
    Rule(
        code="PAR502",
        title="the value loss differs",
        severity="error",
        explanation="The mean squared error of the same rows has another value.",
        origin="A clamp on the squared error, another coefficient inside the term, broadcasting of [B, 1] against [B].",
        fix='config.training(vf_clip_param=float("inf"))',
        explains=_LATER,
    ),
    Rule(
        code="PAR503",
        title="the entropy term differs",
        severity="error",
        explanation="The mean entropy of the same rows has another value.",
        origin="Entropy of unmasked logits, or of another distribution.",
        fix="Use the entropy of the distribution over the masked logits.",
        explains=_LATER,
    ),
    Rule(
        code="PAR504",
        title="the total loss is not the sum of SB3's terms",
        severity="error",
        explanation="policy + vf_coef * value - ent_coef * entropy does not give the loss that is minimised.",
        origin="A further term (KL, auxiliary losses), a clamp, or another coefficient.",
        fix="config.training(use_kl_loss=False, vf_loss_coeff=..., entropy_coeff=...)",
        explains=_LATER,
    ),
    Rule(
        code="PAR505",
        title="the loss is not finite",
        severity="error",
        explanation="RLlib replaces NaN gradients by zeros and goes on: the policy stands still and nothing says so.",
        origin="NaN logits on rows without a legal action, a minibatch of bootstrap rows only, an infinite KL divergence.",
        fix="Mask by a large finite negative number; config.training(use_kl_loss=False)",
        explains=("PAR501", "PAR502", "PAR503", "PAR504", "PAR601", *_LATER, "PAR802"),
    ),
    Rule(
        code="PAR506",
        title="the update stops with an exception",
        severity="error",
        explanation="Losses, gradients and parameters could not be compared.",
        origin="Columns that are missing from the batch, gradients that do not exist, an exception in a learner of the port's.",
        fix="The log has the traceback; the exception's own message names the place.",
    ),
)
