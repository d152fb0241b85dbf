"""Rung 1: the forward pass on the same weights and observations."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

_LATER = ("PAR603", "PAR701", "PAR801")

RULES = (
    Rule(
        code="PAR101",
        title="logits differ on legal actions",
        severity="error",
        explanation="With the same weights and observations the module prefers other actions than SB3's network.",
        origin="Another pre-processing, activation, layer order, or an input that is left out.",
        fix="Build the module around the task's network, or repeat its forward pass exactly.",
        explains=("PAR109", "PAR203", "PAR204", "PAR501", "PAR503", "PAR602", *_LATER),
    ),
    Rule(
        code="PAR102",
        title="values differ",
        severity="error",
        explanation="With the same weights and observations the value function is another.",
        origin="A value head on other features, or a pre-processing that only one of the two passes has.",
        fix="def compute_values(self, batch, embeddings=None): the value head on the features that _forward uses",
        explains=("PAR109", "PAR404", "PAR405", "PAR501", "PAR502", "PAR602", *_LATER),
    ),
    Rule(
        code="PAR103",
        title="the forward pass changes its batch",
        severity="error",
        explanation="Whoever uses the batch afterwards (value function, loss, another module) reads something else.",
        origin='obs.pop("action_mask") or an operation in place, as in RLlib\'s own example of a masked module.',
        fix='mask = obs["action_mask"]; rest = {key: obs[key] for key in obs if key != "action_mask"}',
        explains=("PAR107", "PAR312", "PAR506"),
    ),
    Rule(
        code="PAR104",
        title="the forward pass gives something else the second time",
        severity="error",
        explanation="Log-probabilities at sampling and at training then differ for no reason of learning.",
        origin="Dropout or batch normalisation left in training mode, noise, or state kept between calls.",
        fix="Leave the module without state and noise.",
        explains=("PAR101", "PAR102", "PAR109", "PAR203", "PAR204", "PAR205", "PAR303", "PAR501", "PAR503", *_LATER),
    ),
    Rule(
        code="PAR105",
        title="logits or values have the wrong shape",
        severity="error",
        explanation="Values [B, 1] against targets [B] broadcast to [B, B] without a word: the loss becomes an average.",
        origin="The last dimension of the value head is kept.",
        fix="return self.vf(features).squeeze(-1)",
        explains=("PAR107", "PAR312", "PAR506", "PAR102", "PAR404", "PAR405", "PAR501", "PAR502", "PAR504", *_LATER),
    ),
    Rule(
        code="PAR106",
        title="logits or values are not finite",
        severity="error",
        explanation="One NaN row makes the loss NaN; RLlib then sets the gradient to zero and goes on.",
        origin="Zero times infinity in the masking, a division by zero, -inf on a row without a legal action.",
        fix="logits.masked_fill(mask == 0, torch.finfo(logits.dtype).min)",
        explains=(
            "PAR101",
            "PAR102",
            "PAR107",
            "PAR109",
            "PAR201",
            "PAR202",
            "PAR203",
            "PAR204",
            "PAR205",
            "PAR303",
            "PAR312",
            "PAR505",
            "PAR506",
            "PAR601",
            *_LATER,
        ),
    ),
    Rule(
        code="PAR108",
        title="an entry of the observation reaches no output",
        severity="warning",
        explanation=(
            "Other values of the entry change SB3's logits or values and not the port's. A network of its own may leave an "
            "input out on purpose; it then knows less than SB3's."
        ),
        origin="An integer division, a cast, a key that is read and not used, an input multiplied by zero.",
        fix="Use the entry, or leave it out of the observation on both sides.",
    ),
    Rule(
        code="PAR109",
        title="outputs are limited once weights have grown",
        severity="error",
        explanation=(
            "Initial logits and values are near zero, where nothing shows. With last layers multiplied on both sides, as "
            "training grows them, SB3's outputs go on and the port's do not: it cannot become certain, or cannot learn large "
            "returns."
        ),
        origin="A clamp or tanh on logits or values, half precision, a normalisation of outputs.",
        fix="Return logits and values as the last layer gives them.",
    ),
    Rule(
        code="PAR107",
        title="a forward pass stops with an exception",
        severity="error",
        explanation="What needs the module's outputs could not be compared, and counts as not holding.",
        origin="An exception in one of the module's forward methods, compute_values or its distribution class.",
        fix="The log has the traceback; the exception's own message names the place.",
        explains=("PAR312", "PAR506"),
    ),
)
