"""Rung 2: the masked distribution."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

_LATER = ("PAR501", "PAR503", "PAR602", "PAR603", "PAR701", "PAR801")

RULES = (
    Rule(
        code="PAR201",
        title="illegal actions have a probability",
        severity="error",
        explanation="The mask is not honoured, so illegal actions are played or learned from.",
        origin=(
            "The mask left out of one of _forward, _forward_exploration, _forward_inference and _forward_train; logits "
            "multiplied by the mask (a logit of 0 is not impossible); a penalty that is too small."
        ),
        fix="logits.masked_fill(mask == 0, torch.finfo(logits.dtype).min)  # in every forward method",
        explains=("PAR312", "PAR202", "PAR203", "PAR204", "PAR205", "PAR302", "PAR303", *_LATER),
    ),
    Rule(
        code="PAR202",
        title="entropy above what the legal actions allow",
        severity="error",
        explanation="An entropy above log(number of legal actions) belongs to another distribution than the masked one.",
        origin="Entropy of the unmasked logits.",
        fix="Compute the entropy of the distribution over the masked logits.",
        explains=("PAR204", *_LATER),
    ),
    Rule(
        code="PAR203",
        title="log-probabilities differ from SB3's",
        severity="error",
        explanation="The same logits and masks give the actions another log-probability.",
        origin="Another mask arithmetic, or another distribution class.",
        fix="Mask by a large negative number before the softmax.",
        explains=("PAR303", *_LATER),
    ),
    Rule(
        code="PAR204",
        title="entropies differ from SB3's",
        severity="error",
        explanation="The same logits and masks have another entropy.",
        origin="A distribution class of its own, or entropy of other logits.",
        fix="Use the entropy of the distribution over the masked logits.",
        explains=("PAR503", "PAR603", "PAR701", "PAR801"),
    ),
    Rule(
        code="PAR205",
        title="exploration, inference and training have different distributions",
        severity="error",
        explanation="The policy that is sampled from, evaluated or improved is not one and the same.",
        origin="One of the forward methods overridden, or another distribution class for a phase.",
        fix="Define _forward once and leave the other forward methods to call it.",
        explains=("PAR203", "PAR204", "PAR303", *_LATER),
    ),
)
