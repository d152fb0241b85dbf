"""Rung 8: parameters after a short update, and what RLlib does otherwise by design."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

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
        code="PAR804",
        title="learners hold different weights after an update",
        severity="error",
        explanation="Each learner trains a policy of its own, and only the first one is evaluated and stored.",
        origin=(
            "Gradients that are changed after they were averaged over learners, noise or a counter of one process in the "
            "loss, parameters that are not part of the wrapped module."
        ),
        fix="Leave averaging to RLlib: change gradients in compute_gradients, before they are shared, or not at all.",
        explains=("PAR805", "PAR806"),
    ),
    Rule(
        code="PAR805",
        title="an env runner holds other weights than the learner after an iteration",
        severity="error",
        explanation="It samples with an old policy, while the learner believes the samples to be its own.",
        origin=(
            "A training_step without sync_weights or with too few policies, a set_state that drops weights, parameters "
            "that get_state leaves out."
        ),
        fix="self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)",
        explains=("PAR303",),
    ),
    Rule(
        code="PAR806",
        title="an update through Algorithm gives other parameters than the learner alone",
        severity="error",
        explanation="What was compared with SB3 is not what trains.",
        origin=(
            "A callback, an Algorithm subclass or a learner that depends on its process changes the episodes, the "
            "arguments of the update or the weights."
        ),
        fix="Move what changes the update into the learner class or its connectors, where every path has it.",
    ),
    Rule(
        code="PAR807",
        title="the port stops with an exception in Algorithm",
        severity="error",
        explanation="Its parts work alone; put together, with its own env runners and learners, they do not.",
        origin="Objects that cannot be pickled for another process, callbacks, resources that are not there.",
        fix="The log has the traceback; the exception's own message names the place.",
    ),
    Rule(
        code="PAR808",
        title="something changes weights or the optimiser's state between two updates",
        severity="error",
        explanation=(
            "SB3 goes on with the weights and with the moments of Adam that the last update left; first steps after a reset "
            "are as large as the learning rate allows."
        ),
        origin=(
            "An optimiser that is made anew or cleared for each update, weights that are averaged, decayed or restored in a "
            "hook or a callback of the port's own."
        ),
        fix="Make optimisers in configure_optimizers_for_module alone, and leave weights to them.",
        explains=("PAR805",),
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
