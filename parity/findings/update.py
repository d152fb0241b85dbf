"""Rung 8: parameters after a short update, and what RLlib does otherwise by design."""

from __future__ import annotations

from parity.findings.rule import Rule

_EXACT = 'config.learners(learner_class=ExactPPOLearner)  # what the framework "rllib-exact" does'

RULES = (
    Rule(
        code="PAR801",
        title="parameters differ after an update",
        severity="error",
        explanation="More is different than what RLlib does otherwise by design.",
        origin="What the earlier rungs do not see: schedules, optimiser state, a term that only counts once ratios leave 1.",
        fix="Compare the learner's class and configuration with the task's.",
    ),
    Rule(
        code="PAR802",
        title="parameters are not finite after an update",
        severity="error",
        explanation="Training is over.",
        origin="NaN gradients taken by the optimiser.",
        fix="config.training(torch_skip_nan_gradients=False), and find where NaN comes from.",
        explains=("PAR801",),
    ),
    Rule(
        code="PAR803",
        title="rows of the rollout are left out of the update",
        severity="error",
        explanation="Decisions that were played are learned from less often than num_epochs says, or not at all.",
        origin=(
            "A learner or connector of the port's own drops or subsamples rows, or ends the update early; policies that play "
            "one agent in turns."
        ),
        fix="config.training(num_epochs=..., minibatch_size=...)  # and leave the batch whole",
        explains=("PAR801",),
    ),
    Rule(
        code="PAR810",
        title="advantages are standardised over the whole train batch",
        severity="info",
        explanation=(
            "SB3 standardises them within each minibatch (unbiased standard deviation, 1e-8 added), RLlib once over all "
            "rows, bootstrap rows included (general_advantage_estimation.py:148, ray 2.60)."
        ),
        origin="RLlib's design; no option changes it.",
        fix=_EXACT,
    ),
    Rule(
        code="PAR811",
        title="Adam has another epsilon",
        severity="info",
        explanation="sb3-contrib builds Adam with 1e-5, RLlib with PyTorch's 1e-8: small gradients make larger steps.",
        origin="RLlib's design; configure_optimizers_for_module can be overridden.",
        fix=_EXACT,
    ),
    Rule(
        code="PAR812",
        title="minibatches are cut otherwise",
        severity="info",
        explanation=(
            "RLlib goes through the first epoch in the order of time, keeps bootstrap rows in the minibatches and fills the "
            "last one from the next epoch; SB3 shuffles every epoch and leaves the last minibatch short."
        ),
        origin="RLlib's design (minibatch_utils.py:88-171, ray 2.60).",
        fix=_EXACT,
    ),
)
