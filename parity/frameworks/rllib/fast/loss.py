"""RLlib's loss of PPO without a question to the GPU."""

from __future__ import annotations

import functools
from typing import Any

import torch
from ray.rllib.algorithms.ppo.ppo import (
    LEARNER_RESULTS_KL_KEY,
    LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY,
    LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.torch_utils import explained_variance


def loss_of_all_rows(
    learner: Any, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
) -> torch.Tensor:
    """The loss of ``PPOTorchLearner.compute_loss_for_module`` (ray 2.60.0), scalar.

    RLlib picks the rows that its loss mask counts, and has to know how many they are; here the others weigh nothing. The terms
    are the same but for the last bits of their sums. They are logged as RLlib's are, once the learner's metrics are read.
    """
    module = learner.module[module_id].unwrapped()
    counted = batch.get(Columns.LOSS_MASK)

    def mean(terms: torch.Tensor) -> torch.Tensor:
        return terms.mean() if counted is None else torch.where(counted, terms, 0.0).sum() / counted.sum()

    distribution = module.get_train_action_dist_cls().from_logits(fwd_out[Columns.ACTION_DIST_INPUTS])
    ratio = torch.exp(distribution.logp(batch[Columns.ACTIONS]) - batch[Columns.ACTION_LOGP])
    advantages = batch[Postprocessing.ADVANTAGES]
    clipped = torch.clamp(ratio, 1 - config.clip_param, 1 + config.clip_param)
    surrogate = torch.min(advantages * ratio, advantages * clipped)
    entropy = distribution.entropy()
    no_term = torch.zeros_like(surrogate)
    values, value_loss = no_term, no_term
    if config.use_critic:
        values = module.compute_values(batch, embeddings=fwd_out.get(Columns.EMBEDDINGS))
        value_loss = torch.pow(values - batch[Postprocessing.VALUE_TARGETS], 2.0)
    value_loss_clipped = torch.clamp(value_loss, 0, config.vf_clip_param)
    coefficient = learner.entropy_coeff_schedulers_per_module[module_id].get_current_value()
    total = mean(-surrogate + config.vf_loss_coeff * value_loss_clipped - coefficient * entropy)
    kl = no_term.sum()
    if config.use_kl_loss:
        before = module.get_exploration_action_dist_cls().from_logits(batch[Columns.ACTION_DIST_INPUTS])
        kl = mean(before.kl(distribution))
        total = total + learner.curr_kl_coeffs_per_module[module_id] * kl
    terms = {
        POLICY_LOSS_KEY: -mean(surrogate),
        VF_LOSS_KEY: mean(value_loss_clipped),
        LEARNER_RESULTS_VF_LOSS_UNCLIPPED_KEY: mean(value_loss),
        ENTROPY_KEY: mean(entropy),
        LEARNER_RESULTS_KL_KEY: kl,
    }
    terms = {name: term.detach() for name, term in terms.items()}
    explained = functools.partial(explained_variance, batch[Postprocessing.VALUE_TARGETS], values.detach())
    log = functools.partial(_log, learner, module_id, terms, explained)
    learner.metrics.later(("loss", module_id), log)
    return total


def _log(learner: Any, module_id: str, terms: dict[str, torch.Tensor], explained: Any) -> None:
    learner.metrics.log_dict(terms | {LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY: explained()}, key=module_id, window=1)
