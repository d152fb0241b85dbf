"""Learners that compute another loss, or another step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.evaluation.postprocessing import Postprocessing

from parity.selftest.good import MASK, SORTER, with_class
from parity.selftest.register import bug, planted, wrong
from parity.task import Task


def _edited_batch(good: Task, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Task:
    """PPO's loss on another batch."""

    class Learner(PPOTorchLearner):
        def compute_loss_for_module(self, *, module_id: Any, config: Any, batch: Any, fwd_out: Any) -> Any:
            changed = {**batch, **edit(batch)} if module_id == SORTER else batch
            return super().compute_loss_for_module(module_id=module_id, config=config, batch=changed, fwd_out=fwd_out)

    return with_class(good, Learner)


class _OwnLoss(PPOTorchLearner):
    """PPO's loss written out, as in a learner of one's own; what bugs change are its terms. It logs as PPO's does."""

    def advantage(self, batch: Any) -> torch.Tensor:
        return batch[Postprocessing.ADVANTAGES]

    def ratio(self, logp: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.exp(logp - batch[Columns.ACTION_LOGP])

    def surrogate(self, advantage: torch.Tensor, ratio: torch.Tensor, clip: float) -> torch.Tensor:
        return torch.min(advantage * ratio, advantage * torch.clamp(ratio, 1 - clip, 1 + clip))

    def value_error(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return (values - batch[Postprocessing.VALUE_TARGETS]) ** 2

    def entropy(self, policy: Any, batch: Any) -> torch.Tensor:
        return policy.entropy()

    def total(self, policy: torch.Tensor, value: torch.Tensor, entropy: torch.Tensor, config: Any) -> torch.Tensor:
        return policy + config.vf_loss_coeff * value - config.entropy_coeff * entropy

    def mean(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        mask = batch.get(Columns.LOSS_MASK)
        return values.mean() if mask is None else values[mask].mean()

    def log(self, terms: dict[str, torch.Tensor], module_id: Any) -> None:
        self.metrics.log_dict(terms, key=module_id, window=1)

    def compute_loss_for_module(self, *, module_id: Any, config: Any, batch: Any, fwd_out: Any) -> Any:
        module = self.module[module_id].unwrapped()
        policy = module.get_train_action_dist_cls().from_logits(fwd_out[Columns.ACTION_DIST_INPUTS])
        ratio = self.ratio(policy.logp(batch[Columns.ACTIONS]), batch)
        values = module.compute_values(batch, embeddings=fwd_out.get(Columns.EMBEDDINGS))
        terms = {
            POLICY_LOSS_KEY: -self.mean(self.surrogate(self.advantage(batch), ratio, config.clip_param), batch),
            VF_LOSS_KEY: self.mean(self.value_error(values, batch), batch),
            ENTROPY_KEY: self.mean(self.entropy(policy, batch), batch),
        }
        self.log(terms, module_id)
        return self.total(terms[POLICY_LOSS_KEY], terms[VF_LOSS_KEY], terms[ENTROPY_KEY], config)


class _SilentLoss(_OwnLoss):
    """Most losses of people's own log none of PPO's terms."""

    def log(self, terms: dict[str, torch.Tensor], module_id: Any) -> None:
        pass


@planted
class Losses(_OwnLoss):
    """Bugs of single terms of the loss."""

    @wrong("advantage", "the sign of the advantages is wrong", "PAR501", "PAR603")
    def advantage_sign(self, batch: Any) -> torch.Tensor:
        return -super().advantage(batch)

    @wrong("surrogate", "the ratio is not clipped", "loss", "update", "PAR801", "PAR501")
    def ratio_not_clipped(self, advantage: torch.Tensor, ratio: torch.Tensor, clip: float) -> torch.Tensor:
        return advantage * ratio

    @wrong("surrogate", "only the clipped ratio is used, without the minimum", "loss", "update")
    def minimum_left_out(self, advantage: torch.Tensor, ratio: torch.Tensor, clip: float) -> torch.Tensor:
        return advantage * torch.clamp(ratio, 1 - clip, 1 + clip)

    @wrong("surrogate", "the larger of the two surrogates is taken", "loss", "update")
    def maximum_for_minimum(self, advantage: torch.Tensor, ratio: torch.Tensor, clip: float) -> torch.Tensor:
        return torch.max(advantage * ratio, advantage * torch.clamp(ratio, 1 - clip, 1 + clip))

    @wrong("ratio", "the ratio is old over new", "PAR603", "loss", "gradient")
    def ratio_inverted(self, logp: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.exp(batch[Columns.ACTION_LOGP] - logp)

    @wrong("ratio", "the old log-prob is the present one: the ratio is always 1", "loss", "update")
    def old_log_prob_is_the_present_one(self, logp: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.exp(logp - logp.detach())

    @wrong("ratio", "the ratio is the new probability alone", "PAR501")
    def ratio_without_the_old_policy(self, logp: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.exp(logp)

    @wrong("total", "the sign of the entropy term is wrong", "PAR504", "PAR603", "PAR503")
    def entropy_sign_in_the_loss(
        self, policy: torch.Tensor, value: torch.Tensor, entropy: torch.Tensor, config: Any
    ) -> torch.Tensor:
        return policy + config.vf_loss_coeff * value + config.entropy_coeff * entropy

    @wrong("entropy", "the entropy is that of the unmasked logits", "PAR503", "PAR603")
    def entropy_of_unmasked_logits(self, policy: Any, batch: Any) -> torch.Tensor:
        module = self.module[SORTER].unwrapped()
        logits = module.pi(module.features(batch[Columns.OBS]))
        return torch.distributions.Categorical(logits=logits).entropy()

    @wrong("value_error", "the value error is absolute, not squared", "PAR502")
    def value_error_absolute(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return super().value_error(values, batch).sqrt()

    @wrong("value_error", "values [B, 1] against targets [B]: all pairs", "PAR502")
    def value_error_over_all_pairs(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return ((values[:, None] - batch[Postprocessing.VALUE_TARGETS][None, :]) ** 2).mean(dim=1)

    @wrong("total", "a term for the size of the weights that nobody asked for", "PAR504", "PAR603")
    def weight_decay_in_the_loss(
        self, policy: torch.Tensor, value: torch.Tensor, entropy: torch.Tensor, config: Any
    ) -> torch.Tensor:
        weights = sum(p.square().sum() for p in self.module[SORTER].unwrapped().parameters())
        return super().total(policy, value, entropy, config) + 1e-3 * weights

    @wrong("mean", "bootstrap rows are learned from", "PAR501", "PAR502", "PAR603")
    def bootstrap_rows_learned(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return values.mean()

    @wrong("mean", "terms are summed, not averaged", "PAR501", "PAR502", "PAR603")
    def sums_instead_of_means(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return super().mean(values, batch) * len(values)

    @wrong("mean", "the loss leaves out half of the decisions", "PAR501", "PAR502", "PAR603")
    def half_of_the_rows(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return super().mean(values * (torch.arange(len(values)) % 2), batch) * 2

    @wrong("advantage", "the loss is detached from the policy where the advantage is negative", "PAR501", "PAR603")
    def good_moves_only(self, batch: Any) -> torch.Tensor:
        return super().advantage(batch).clamp(min=0)

    @wrong("total", "gradients are scaled by the number of minibatches", "PAR603", "PAR504")
    def loss_scaled(
        self, policy: torch.Tensor, value: torch.Tensor, entropy: torch.Tensor, config: Any
    ) -> torch.Tensor:
        return super().total(policy, value, entropy, config) / 12


@bug("the value is regressed on the advantages", "PAR502")
def value_target_is_the_advantage(good: Task) -> Task:
    return _edited_batch(good, lambda batch: {Postprocessing.VALUE_TARGETS: batch[Postprocessing.ADVANTAGES]})


@bug("advantages are 0 where few actions are legal", "PAR501", "PAR603")
def advantages_zeroed_for_some_rows(good: Task) -> Task:
    return _edited_batch(
        good,
        lambda batch: {
            Postprocessing.ADVANTAGES: batch[Postprocessing.ADVANTAGES] * (batch[Columns.OBS][MASK].sum(dim=-1) > 2)
        },
    )


@planted
class Learners(PPOTorchLearner):
    """Bugs of RLlib's own learner."""

    @wrong(
        "postprocess_gradients",
        "gradients are never clipped: the learner's own postprocess_gradients leaves it out",
        "PAR603",
        "gradient",
    )
    def gradients_not_clipped(self, gradients_dict: Any) -> Any:
        return {parameter: g for parameter, g in gradients_dict.items() if g is not None}

    @wrong("compute_gradients", "gradients are kept from minibatch to minibatch", "PAR801")
    def gradients_accumulate(self, loss_per_module: Any, **kwargs: Any) -> Any:
        sum(loss_per_module.values()).backward()
        return {pid: p.grad for pid, p in self._params.items()}

    @wrong("update", "the learner makes one epoch, whatever it is told", "PAR803")
    def one_epoch_only(self, *args: Any, **kwargs: Any) -> Any:
        return super().update(*args, **{**kwargs, "num_epochs": 1})

    @wrong("_create_iterator_if_necessary", "every minibatch holds the same rows", "PAR803")
    def one_minibatch_again_and_again(self, **kwargs: Any) -> Any:
        iterator = super()._create_iterator_if_necessary(**kwargs)
        batches = list(iterator)
        return [batches[0]] * len(batches)

    @wrong("before_gradient_based_update", "Adam starts anew with each update", "PAR808")
    def adam_starts_anew(self, *, timesteps: dict[str, Any]) -> None:
        for optimizer in self._named_optimizers.values():
            optimizer.state.clear()
        super().before_gradient_based_update(timesteps=timesteps)

    @wrong("before_gradient_based_update", "weights are pulled back to the last update's after each update", "PAR808")
    def weights_averaged_between_updates(self, *, timesteps: dict[str, Any]) -> None:
        parameters = list(self.module[SORTER].parameters())
        with torch.no_grad():
            for parameter, before in zip(parameters, getattr(self, "kept", parameters), strict=True):
                parameter.lerp_(before.clone(), 0.5)
        self.kept = [parameter.detach().clone() for parameter in parameters]
        super().before_gradient_based_update(timesteps=timesteps)

    @wrong("after_gradient_based_update", "the learning rate falls to a hundredth after the first update", "PAR808")
    def learning_rate_falls_by_itself(self, *, timesteps: dict[str, Any]) -> None:
        super().after_gradient_based_update(timesteps=timesteps)
        for optimizer in self._named_optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = 2e-5


class _OtherOptimiser(PPOTorchLearner):
    """What bugs change: which parameters the optimiser has, and which optimiser it is."""

    def parameters(self, module: Any) -> list[torch.nn.Parameter]:
        return list(module.parameters())

    def optimiser(self, parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=lr)

    def configure_optimizers_for_module(self, module_id: Any, config: Any = None) -> None:
        parameters = self.parameters(self.module[module_id].unwrapped())
        optimiser = self.optimiser(parameters, config.lr)
        self.register_optimizer(
            module_id=module_id, optimizer=optimiser, params=parameters, lr_or_lr_schedule=config.lr
        )


@planted
class Optimisers(_OtherOptimiser):
    """Bugs of the optimiser."""

    @wrong("parameters", "the optimiser has the heads only", "PAR702", "PAR701", "PAR602")
    def optimiser_over_a_part(self, module: Any) -> list[torch.nn.Parameter]:
        return [parameter for name, parameter in module.named_parameters() if not name.startswith("eyes")]

    @wrong("optimiser", "another optimiser", "PAR701")
    def another_optimiser(self, parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=lr)

    @wrong("optimiser", "weight decay in the optimiser", "PAR701")
    def weight_decay_in_the_optimiser(self, parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.1)

    @wrong("optimiser", "Adam's betas are those of another paper", "PAR801", "PAR701")
    def other_betas(self, parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.9))

    @wrong("optimiser", "weights decay in a second group of parameters", "PAR010")
    def decay_in_a_second_group(self, parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        first, *rest = parameters
        groups: list[dict[str, Any]] = [{"params": [first]}, {"params": rest, "weight_decay": 0.1}]
        return torch.optim.Adam(groups, lr=lr)


@bug("a loss of one's own that logs nothing does not clip the ratio", "PAR501")
class SilentLossWithoutClipping(_SilentLoss):
    surrogate = Losses.ratio_not_clipped


@bug("a loss of one's own that logs nothing halves the value error", "PAR502")
class SilentLossWithHalfTheValueError(_SilentLoss):
    def value_error(self, values: torch.Tensor, batch: Any) -> torch.Tensor:
        return super().value_error(values, batch) / 2


@bug("a loss of one's own that logs nothing adds the entropy", "PAR503")
class SilentLossWithTheEntropysSign(_SilentLoss):
    total = Losses.entropy_sign_in_the_loss
