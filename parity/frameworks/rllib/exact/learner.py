"""An RLlib PPO learner that computes what sb3-contrib's MaskablePPO computes, operation by operation.

It replaces what RLlib 2.60's configuration cannot make equal: where advantages are normalised, Adam's epsilon, the rows
appended for bootstrapping, shuffling and the last minibatch, ``target_kl``, ``clip_range_vf``, the order of the loss's
float operations, gradient clipping. Everything else is `PPOTorchLearner`'s.

    config = (
        PPOConfig()
        .env_runners(env_runner_cls=ExactEnvRunner, num_envs_per_env_runner=8, rollout_fragment_length=256)
        .learners(
            learner_class=ExactPPOLearner,
            learner_config_dict={"adam_eps": 1e-5, "normalize_advantage": True, "target_kl": None, "clip_range_vf": None},
        )
        .training(
            train_batch_size_per_learner=8 * 256, minibatch_size=64, num_epochs=10, use_kl_loss=False,
            vf_clip_param=float("inf"), vf_loss_coeff=0.5, grad_clip=0.5, grad_clip_by="global_norm", lambda_=0.95,
            lr=3e-4, clip_param=0.2,
        )
    )
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from typing import Any, NamedTuple

import numpy as np
import pydantic
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo.ppo import LEARNER_RESULTS_KL_KEY, LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.learner import GeneralAdvantageEstimation
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.rl_module.apis.self_supervised_loss_api import SelfSupervisedLossAPI
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.torch_utils import explained_variance
from torch.nn import functional

from parity.errors import NotSupported
from parity.frameworks.rllib.arrays import named_parameters
from parity.frameworks.rllib.exact.minibatches import ExactMinibatches, Permutation
from parity.frameworks.rllib.exact.returns import ExactReturns, may_be_trained
from parity.task.registry import validation_sentence

ROLLOUT_ORDER = "parity_rollout_order"
"""Key in an episode's ``custom_data``: ``(worker, sub-environment, number of the chunk)``, the order of SB3's buffer."""


@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid"))
class ExactOptions:
    """The options in ``learner_config_dict``, with MaskablePPO's names, meanings and defaults.

    Attributes:
        adam_eps: Adam's epsilon.
        normalize_advantage: per minibatch, with the unbiased standard deviation and 1e-8 added to it; a minibatch of one
            row is left as it is, as in SB3's PPO (MaskablePPO 2.9.2 divides by NaN there).
        target_kl: a module's update ends before the step of the first minibatch whose approximate KL divergence exceeds
            1.5 times this.
        clip_range_vf: how far a value may move from the value at sampling before its loss is cut off.
    """

    adam_eps: pydantic.PositiveFloat = 1e-5
    normalize_advantage: bool = True
    target_kl: pydantic.PositiveFloat | None = None
    clip_range_vf: pydantic.PositiveFloat | None = None

    @classmethod
    def from_config(cls, config: AlgorithmConfig) -> ExactOptions:
        """Raises ValueError: ``learner_config_dict`` has a key that is no option, or a value out of range."""
        try:
            return cls(**(config.learner_config_dict or {}))
        except pydantic.ValidationError as error:
            raise ValueError(f"learner_config_dict: {validation_sentence(error)}") from error


class LossTerms(NamedTuple):
    """The terms of one minibatch's loss, scalar tensors; ``total`` carries the graph, ``advantages`` is ``[B]``."""

    total: torch.Tensor
    policy: torch.Tensor
    value: torch.Tensor
    entropy: torch.Tensor
    approx_kl: torch.Tensor
    clip_fraction: torch.Tensor
    log_prob: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor


class ExactPPOLearner(PPOTorchLearner):
    """MaskablePPO's update (sb3-contrib 2.9.2, ``MaskablePPO.train``) as an RLlib learner.

    Works for every RLModule with `ValueFunctionAPI`, whatever its action distribution; each module has its own epochs and
    minibatches. With several learners every one of them normalises and clips its own share, as RLlib's do.

    Attributes:
        permutation_source: replaces the learner's own permutations where set; ``(module_id, n) -> int64 [n]``.

    Raises:
        ValueError: the configuration asks for something that MaskablePPO's loss does not have (``use_kl_loss``,
            ``vf_clip_param``), or an option is unknown; on ``build()``.
        TypeError: a module to be trained has no `ValueFunctionAPI`.
        FloatingPointError: a gradient is not finite. RLlib would replace it by zeros and go on.
    """

    permutation_source: Permutation | None = None

    @staticmethod
    def hyperparameters(config: AlgorithmConfig) -> dict[str, Any]:
        """The options as the learner will read them, by ``PPOParams``' names; raises as `ExactOptions.from_config`."""
        return dataclasses.asdict(ExactOptions.from_config(config))

    def build(self) -> None:
        if self._is_built:
            return
        self._options: dict[str, ExactOptions] = {}
        self._stopped: set[str] = set()
        self._generators: dict[str, np.random.Generator] = {}
        # Without a seed the permutations differ from run to run.
        self._entropy = np.random.SeedSequence().entropy if self.config.seed is None else self.config.seed
        if self.config.num_learners > 1 and ExactOptions.from_config(self.config).target_kl is not None:
            raise ValueError(
                "target_kl needs num_learners <= 1: learners that stop at different minibatches would deadlock."
            )
        super().build()
        for module_id in self.module.keys():  # noqa: SIM118  (a MultiRLModule is not iterable)
            self._check(module_id)
        pipeline = self._learner_connector
        if pipeline is not None and self.config.add_default_connectors_to_learner_pipeline:
            pipeline.remove(GeneralAdvantageEstimation)
            pipeline.append(ExactReturns(self.config))

    def _check(self, module_id: str) -> None:
        """Raises ValueError where a module or its configuration has something that MaskablePPO does not."""
        if self.module[module_id].is_stateful() and may_be_trained(self.config, module_id):
            raise NotSupported(
                f"module {module_id!r} is recurrent: MaskablePPO, and so ExactPPOLearner, is not. Leave rllib-exact out of "
                "--frameworks."
            )
        config = self.config.get_config_for_module(module_id)
        if config.use_kl_loss or not math.isinf(config.vf_clip_param):
            raise ValueError(
                "ExactPPOLearner computes MaskablePPO's loss, which has neither a KL term nor a bound on the squared value "
                'error: set use_kl_loss=False and vf_clip_param=float("inf").'
            )
        if config.grad_clip and config.grad_clip_by != "global_norm":
            raise ValueError(f'grad_clip_by is "{config.grad_clip_by}": MaskablePPO clips by "global_norm".')
        self.options(module_id)

    def _is_not_finite(self, norm: torch.Tensor) -> bool:
        return not torch.isfinite(norm)

    def options(self, module_id: str) -> ExactOptions:
        """The options of a module; ``algorithm_config_overrides_per_module`` may give it its own."""
        if module_id not in self._options:
            self._options[module_id] = ExactOptions.from_config(self.config.get_config_for_module(module_id))
        return self._options[module_id]

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        assert config is not None
        params = self.get_parameters(self._module[module_id])
        optimizer = torch.optim.Adam(params, eps=self.options(module_id).adam_eps)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=config.lr)

    def permutation(self, module_id: str, n: int) -> np.ndarray:
        """The order of a module's rows in its next epoch: int64 ``[n]``.

        Depends on ``config.seed``, the module's id, the numbers of the learner, the update and the epoch alone, so that a run
        continued from a checkpoint has the permutations of an uninterrupted one.
        """
        if self.permutation_source is not None:
            return np.asarray(self.permutation_source(module_id, n))
        generator = self._generators.get(module_id)
        if generator is None:
            key = [self._entropy, zlib.crc32(module_id.encode()), self._weights_seq_no, self._learner_index]
            generator = self._generators[module_id] = np.random.default_rng(key)
        return generator.permutation(n)

    def _make_batch_if_necessary(self, training_data: Any) -> Any:
        episodes = training_data.episodes
        # RLlib sorts episodes by length on their way to a remote learner.
        if episodes and all(ROLLOUT_ORDER in getattr(episode, "custom_data", {}) for episode in episodes):
            training_data.episodes = sorted(episodes, key=lambda episode: episode.custom_data[ROLLOUT_ORDER])
        return super()._make_batch_if_necessary(training_data)

    def _create_iterator_if_necessary(
        self,
        *,
        training_data: Any,
        num_total_minibatches: int = 0,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        **_: Any,
    ) -> Any:
        if training_data.data_iterators:
            raise ValueError("ExactPPOLearner learns from episodes or batches, not from data iterators.")
        batch = self._make_batch_if_necessary(training_data)
        for module_id in list(batch.policy_batches):
            if not self.should_module_be_updated(module_id, batch):
                del batch.policy_batches[module_id]
                continue
            module = self.module[module_id].unwrapped()
            if Postprocessing.ADVANTAGES not in batch[module_id] and not isinstance(module, SelfSupervisedLossAPI):
                raise TypeError(
                    f"module {module_id!r} ({type(module).__name__}) does not implement ValueFunctionAPI, so it has no "
                    f"advantages to learn from: class {type(module).__name__}(TorchRLModule, ValueFunctionAPI)."
                )
        if not batch.policy_batches:
            raise ValueError(
                f"no module to train: the batch holds nothing of policies_to_train={self.config.policies_to_train}."
            )
        self._stopped.clear()
        self._generators.clear()
        return ExactMinibatches(
            batch,
            num_epochs=num_epochs,
            minibatch_size=minibatch_size,
            permutation=self.permutation,
            stopped=self._stopped,
            num_total_minibatches=num_total_minibatches,
        )

    def loss_terms(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> LossTerms:
        """MaskablePPO's loss on one minibatch, its operations in its order.

        Args:
            module_id: the module.
            config: its configuration.
            batch: ``actions``, ``action_logp``, ``advantages``, ``value_targets`` and ``vf_preds``, each ``[B, …]``.
            fwd_out: ``action_dist_inputs`` and, where the module shares a trunk, ``embeddings``.
        """
        options = self.options(module_id)
        module = self.module[module_id].unwrapped()
        distribution = module.get_train_action_dist_cls().from_logits(fwd_out[Columns.ACTION_DIST_INPUTS])
        log_prob = distribution.logp(batch[Columns.ACTIONS])
        values = module.compute_values(batch, embeddings=fwd_out.get(Columns.EMBEDDINGS))
        entropy = distribution.entropy()

        advantages = batch[Postprocessing.ADVANTAGES]
        if options.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)

        log_ratio = log_prob - batch[Columns.ACTION_LOGP]
        ratio = torch.exp(log_ratio)
        clip_range = config.clip_param
        policy_loss_1 = advantages * ratio
        policy_loss_2 = advantages * torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
        policy_loss = -torch.min(policy_loss_1, policy_loss_2).mean()

        if options.clip_range_vf is None:
            values_pred = values
        else:
            old_values = batch[Columns.VF_PREDS]
            values_pred = old_values + torch.clamp(values - old_values, -options.clip_range_vf, options.clip_range_vf)
        value_loss = functional.mse_loss(batch[Postprocessing.VALUE_TARGETS], values_pred)
        entropy_loss = -torch.mean(entropy)

        entropy_coeff = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        total = policy_loss + entropy_coeff * entropy_loss + config.vf_loss_coeff * value_loss
        with torch.no_grad():
            approx_kl = torch.mean((torch.exp(log_ratio) - 1) - log_ratio)
            clip_fraction = torch.mean((torch.abs(ratio - 1) > clip_range).float())
        return LossTerms(
            total, policy_loss, value_loss, entropy_loss, approx_kl, clip_fraction, log_prob, values, advantages
        )

    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        terms = self.loss_terms(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        target_kl = self.options(module_id).target_kl
        if target_kl is not None and terms.approx_kl > 1.5 * target_kl:
            self._stopped.add(module_id)
        detached = LossTerms(*(term.detach() for term in terms))
        self._log_terms(module_id, detached, batch[Postprocessing.VALUE_TARGETS])
        return terms.total

    def _log_terms(self, module_id: str, terms: LossTerms, value_targets: torch.Tensor) -> None:
        self.metrics.log_dict(
            {
                POLICY_LOSS_KEY: terms.policy,
                VF_LOSS_KEY: terms.value,
                LEARNER_RESULTS_VF_EXPLAINED_VAR_KEY: explained_variance(value_targets, terms.values),
                ENTROPY_KEY: -terms.entropy,
                LEARNER_RESULTS_KL_KEY: terms.approx_kl,
                "clip_fraction": terms.clip_fraction,
            },
            key=module_id,
            window=1,
        )

    def compute_losses(self, *, fwd_out: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        losses = super().compute_losses(fwd_out=fwd_out, batch=batch)
        return {module_id: loss for module_id, loss in losses.items() if module_id not in self._stopped}

    def postprocess_gradients_for_module(
        self, *, module_id: str, config: AlgorithmConfig | None = None, module_gradients_dict: dict[Any, torch.Tensor]
    ) -> dict[Any, torch.Tensor]:
        """Clips by the global norm as ``torch.nn.utils.clip_grad_norm_`` does, over the parameters in the module's order."""
        assert config is not None
        module = self.module[module_id].unwrapped()
        named = {name: p for name, p in named_parameters(module).items() if p in module_gradients_dict}
        if not named:
            return module_gradients_dict
        gradients = [module_gradients_dict[p] for p in named.values()]
        total_norm = torch.nn.utils.get_total_norm(gradients)
        if self._is_not_finite(total_norm):
            bad = [name for name, gradient in zip(named, gradients, strict=True) if not gradient.isfinite().all()]
            if bad:
                raise FloatingPointError(
                    f"module {module_id!r}: the gradient of parameter {bad[0]!r} is not finite (nor are those of "
                    f"{len(bad) - 1} of the {len(gradients) - 1} others). RLlib's own learner would set it to zero and go on."
                )
        if config.grad_clip:
            for parameter, gradient in zip(named.values(), gradients, strict=True):
                parameter.grad = gradient
            torch.nn.utils.clip_grads_with_norm_(list(named.values()), config.grad_clip, total_norm)
            self.metrics.log_value((module_id, "gradients_default_optimizer_global_norm"), total_norm, window=1)
        return module_gradients_dict
