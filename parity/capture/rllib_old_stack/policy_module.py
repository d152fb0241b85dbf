"""A policy of the old API stack in the form that collectors ask modules of the new one for their numbers.

Observations go in as the environment shows them; RLlib's preprocessors, where they are on, are part of what is asked.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.models.catalog import ModelCatalog
from ray.rllib.models.modelv2 import restore_original_dimensions
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.torch_utils import convert_to_torch_tensor

from parity.frameworks.rllib_old_stack.model import original_space, restored

# Where a policy's loss leaves its terms for RLlib's metrics (ppo_torch_policy.py, ray 2.60.0).
TERMS = {POLICY_LOSS_KEY: "mean_policy_loss", VF_LOSS_KEY: "mean_vf_loss", ENTROPY_KEY: "mean_entropy"}


class PolicyModule(torch.nn.Module):
    """The model of a policy, with its action distribution. Parameters have the model's own names."""

    _model: Any

    def __init__(self, policy: Any) -> None:
        super().__init__()
        # Not as a module in a module: its parameters would have a prefix that the user never wrote.
        vars(self)["_model"] = policy.model
        self.dist_class = policy.dist_class
        self._flat_space = policy.observation_space if hasattr(policy.observation_space, "original_space") else None
        self.observation_space = original_space(policy.observation_space)
        self.action_space = policy.action_space
        self.model_config = policy.config["model"]

    @property
    def model(self) -> Any:
        """The policy's ``TorchModelV2``."""
        return self._model

    def is_stateful(self) -> bool:
        return False  # a recurrent policy is refused

    def unwrapped(self) -> PolicyModule:
        return self

    def shown(self, processed: Any) -> Any:
        """What the environment showed, of what the batch holds."""
        if self._flat_space is None:
            return processed
        return restored(restore_original_dimensions(processed, self._flat_space, "torch"), self.observation_space)

    def on_processed(self, processed: Any, train: bool = True) -> dict[str, Any]:
        """Masked logits, and values as embeddings, of observations as the batch holds them."""
        self._model.train(train)
        logits, _ = self._model({Columns.OBS: processed, "is_training": train})
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: self._model.value_function()}

    def processed(self, observations: Any) -> Any:
        """What RLlib's preprocessors make of observations."""
        if self._flat_space is None:
            return observations
        preprocessor = ModelCatalog.get_preprocessor_for_space(self.observation_space)
        arrays = tree.map_structure(lambda leaf: leaf.detach().cpu().numpy(), observations)
        rows = len(tree.flatten(arrays)[0])
        flat = [preprocessor.transform(tree.map_structure(lambda leaf: leaf[i], arrays)) for i in range(rows)]  # noqa: B023
        device = next((parameter.device for parameter in self._model.parameters()), None)
        return torch.as_tensor(np.stack(flat), dtype=torch.float32, device=device)

    def forward_train(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        return self.on_processed(self.processed(batch[Columns.OBS]))

    def forward_exploration(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        with torch.no_grad():
            return self.on_processed(self.processed(batch[Columns.OBS]), train=False)

    forward_inference = forward_exploration

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.forward_train(batch)[Columns.EMBEDDINGS] if embeddings is None else embeddings

    def get_train_action_dist_cls(self) -> Any:
        def required_input_dim(space: Any, **_: Any) -> int:
            _, size = ModelCatalog.get_action_dist(space, self.model_config, framework="torch")
            return int(size)

        return types.SimpleNamespace(
            from_logits=lambda logits: _Distribution(self.dist_class(logits, self._model)),
            required_input_dim=required_input_dim,
        )

    get_exploration_action_dist_cls = get_inference_action_dist_cls = get_train_action_dist_cls

    def named_modules(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return self._model.named_modules(*arguments, **options)

    def named_parameters(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        return self._model.named_parameters(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        # For those who follow the path of a parameter's name.
        model = vars(self).get("_model")
        parts = {} if model is None else {**model._modules, **model._parameters}
        return parts[name] if name in parts else super().__getattr__(name)

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        return self._model.state_dict(*arguments, **options)

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        return self._model.load_state_dict(*arguments, **options)

    def train(self, mode: bool = True) -> PolicyModule:
        self._model.train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> PolicyModule:
        self._model._apply(fn, recurse)
        return self


class _Distribution:
    """An action distribution of the old stack, asked as one of the new stack's."""

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution
        self.logp, self.entropy, self.sample = distribution.logp, distribution.entropy, distribution.sample

    def to_deterministic(self) -> Any:
        return types.SimpleNamespace(sample=self._distribution.deterministic_sample)

    @property
    def probabilities(self) -> torch.Tensor:
        parts = getattr(self._distribution, "cats", None) or [self._distribution.dist]
        return torch.cat([part.probs for part in parts], dim=-1)


class PolicyLearner:
    """The policies of a rollout worker, asked as a learner of the new stack."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self.policies = {str(name): worker.policy_map[name] for name in sorted(worker.policy_map, key=str)}
        self.module = _Modules({name: PolicyModule(policy) for name, policy in self.policies.items()})
        self.config = types.SimpleNamespace(get_config_for_module=lambda name: worker.policy_dict[name].config)
        self.metrics = types.SimpleNamespace(peek=self._peek)

    def should_module_be_updated(self, module_id: str) -> bool:
        asked = self._worker.is_policy_to_train
        return asked is None or bool(asked(module_id, None))

    def get_optimizers_for_module(self, module_id: str) -> list[tuple[str, Any]]:
        return [(module_id, optimizer) for optimizer in self.policies[module_id]._optimizers]

    def _peek(self, key: tuple[str, str]) -> Any:
        return self.policies[key[0]].model.tower_stats[TERMS[key[1]]]

    def compute_losses(self, *, fwd_out: Any, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Each policy's loss, which runs its model itself; ``fwd_out`` is not read."""
        losses = {}
        for module_id, columns in batch.items():
            policy = self.policies[module_id]
            policy.model.train()
            losses[module_id] = policy.loss(policy.model, policy.dist_class, SampleBatch(dict(columns)))
        return losses

    def compute_gradients(self, losses: Mapping[str, torch.Tensor]) -> dict[Any, torch.Tensor | None]:
        parameters = [p for module_id in losses for p in self.policies[module_id].model.parameters()]
        gradients = torch.autograd.grad(sum(losses.values()), parameters, allow_unused=True)  # type: ignore[arg-type]
        return dict(zip(parameters, gradients, strict=True))

    def postprocess_gradients(self, gradients: Mapping[Any, torch.Tensor]) -> dict[Any, torch.Tensor | None]:
        for parameter, gradient in gradients.items():
            parameter.grad = gradient.clone()
        for policy in self.policies.values():
            for optimizer in policy._optimizers:
                policy.extra_grad_process(optimizer, None)
        return {parameter: parameter.grad for parameter in gradients}


class _Modules(dict[str, PolicyModule]):
    """By policy."""

    def forward_train(self, batches: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {module_id: self[module_id].on_processed(columns[Columns.OBS]) for module_id, columns in batches.items()}


def tensors(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a sample batch that are numbers, as the policy's loss gets them."""
    numbers = {
        name: column
        for name, column in batch.items()
        if isinstance(column, dict) or (isinstance(column, np.ndarray) and column.dtype != object)
    }
    return convert_to_torch_tensor(numbers)
