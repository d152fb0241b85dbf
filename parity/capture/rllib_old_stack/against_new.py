"""The two API stacks of one port against each other, from the same weights and without SB3.

The new stack's port is collected as ever. In SB3's place stand the old port's model, the formula of
``compute_gae_for_sample_batch``, ``PPOTorchPolicy.loss``, RLlib's clipping, and the old stack's standardisation and Adam,
on the rows of that rollout. Fields of the capture that are named after SB3 hold the old stack's numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from typing import Any

import numpy as np
import torch
import tree
from pydantic import ValidationError
from ray.rllib.algorithms.ppo.ppo_torch_policy import PPOTorchPolicy
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import compute_advantages
from ray.rllib.models.catalog import ModelCatalog
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.sgd import standardized
from ray.rllib.utils.torch_utils import apply_grad_clipping

from parity.capture.rllib.collect import collect
from parity.capture.rllib_old_stack.policy_module import PolicyModule
from parity.capture.rllib_old_stack.settings import lost, of_policy
from parity.capture.sb3 import sb3_reference
from parity.capture.sb3.sb3_reference import Updated
from parity.errors import CannotStart, first_refusal
from parity.frameworks import hyperparameters
from parity.frameworks.network import nested
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.arrays import duplicate
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.frameworks.rllib_old_stack import RllibOldStack
from parity.frameworks.rllib_old_stack.worker import make_worker
from parity.results.capture import Capture, Configuration
from parity.task import PPOParams, Task
from parity.task.hyperparameter_names import RLLIB_NAMES
from parity.task.masks import n_logits


def capture_old_against_new(task: Task) -> Capture:
    """The new stack's port of a task beside its old stack's.

    Raises:
        CannotStart: one of them cannot be opened, or the old one's hyperparameters are none that PPO has on the new stack.
    """
    old = RllibOldStack().port(task, seed=0, device="cpu")
    worker = make_worker(old.config, envs=1)
    policy = worker.policy_map[old.learning_module]
    if policy.is_recurrent():
        raise CannotStart(f"--old-against-new: policy {old.learning_module} is recurrent, which is not compared.")
    module = PolicyModule(policy)

    def network(*_: Any) -> torch.nn.Module:
        return _OldModel(duplicate(module), old.mask_key)

    as_reference = dataclasses.replace(
        task,
        network=network,
        ppo=_as_params(hyperparameters.of_rllib(of_policy(old))),
        sb3_model=None,
        parameter_map=None,
    )
    new = Rllib().port(task, seed=0, device="cpu")
    capture = collect(
        as_reference,
        new,
        add_reference=functools.partial(
            sb3_reference.add_reference,
            chunk_returns=_old_returns,
            trainer=functools.partial(_OldLoop, settings=policy.config),
        ),
        other_side="the old stack",
    )
    context = capture.context
    context.framework = "rllib"
    if context.configuration is not None:
        context.configuration.native["lost"] = lost(old)
        _of_both(context.configuration, of_policy(old), new.config)
        context.configuration.schedules["sb3"] = hyperparameters.schedules_of_rllib(of_policy(old), task.steps)
    context.not_applicable = {"lockstep": "whole iterations are compared with the old stack alone"}
    return capture


def _of_both(configuration: Configuration, old: Any, new: Any) -> None:
    """Settings that SB3 has nothing like and both stacks have: they are compared like hyperparameters of SB3's."""
    configuration.task |= _alike_in_both(old)
    configuration.port |= _alike_in_both(new)
    names = {name: name for name in _alike_in_both(old) if configuration.task[name] != configuration.port[name]}
    if names:
        configuration.names = RLLIB_NAMES | names


def _alike_in_both(config: Any) -> dict[str, float]:
    bound = math.inf if config.vf_clip_param is None else float(config.vf_clip_param)
    return {
        "kl_coeff": config.kl_coeff if config.use_kl_loss else 0.0,
        "kl_target": config.kl_target if config.use_kl_loss else 0.0,
        "vf_clip_param": bound,
    }


def _as_params(old: dict[str, Any]) -> PPOParams:
    """What an old configuration trains with, as far as SB3's side has it; `_of_both` and `lost` have the rest."""
    try:
        return hyperparameters.as_params(old)
    except ValidationError as error:
        refused, message = first_refusal(error)
        field = str(refused["loc"][0]) if refused["loc"] else "it"
        raise CannotStart(f"--old-against-new: rllib_old_config, {field} {refused['input']!r}: {message}.") from error


class _OldModel(torch.nn.Module):
    """The old port's model as a network of the contract: it sees everything legal, and the mask is put on as SB3 does it."""

    def __init__(self, module: PolicyModule, mask_key: str) -> None:
        super().__init__()
        self.old, self._mask_key = module, mask_key

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        rows = len(tree.flatten(obs)[0])
        mask = torch.ones(rows, n_logits(self.old.action_space), dtype=torch.int8)
        out = self.old.forward_train({Columns.OBS: self.with_mask(obs, mask)})
        return out[Columns.ACTION_DIST_INPUTS], out[Columns.EMBEDDINGS]

    def with_mask(self, obs: Any, mask: torch.Tensor) -> Any:
        """Observations of the contract as RLlib's modules get them."""
        if self._mask_key not in getattr(self.old.observation_space, "spaces", ()):
            return obs
        names = set(getattr(self.old.observation_space, "spaces", ())) - {self._mask_key}
        wrapped = names == {OBSERVATIONS_KEY} and not (isinstance(obs, dict) and set(obs) == names)
        return {**({OBSERVATIONS_KEY: obs} if wrapped else obs), self._mask_key: mask}


def _old_returns(
    rewards: np.ndarray, values: np.ndarray, following: float, terminated: bool, truncated: bool, ppo: PPOParams
) -> tuple[np.ndarray, np.ndarray]:
    """As ``compute_gae_for_sample_batch`` does it once it has the value of what followed."""
    batch = compute_advantages(
        SampleBatch({SampleBatch.REWARDS: rewards, SampleBatch.VF_PREDS: values}),
        last_r=0.0 if terminated else following,
        gamma=ppo.gamma,
        lambda_=ppo.gae_lambda,
    )
    return batch["advantages"], batch["value_targets"]


class _AsModel:
    """A module of the new stack as the old stack's loss asks a model: of agents for which SB3's side has no network either."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network
        self.tower_stats: dict[str, Any] = {}

    def __call__(self, batch: Any) -> tuple[torch.Tensor, list[Any]]:
        logits, self._values = self._network(batch[SampleBatch.OBS])
        return logits, []

    def train(self) -> None:
        """It is in the mode that it was captured in."""

    def value_function(self) -> torch.Tensor:
        return self._values


class _OldLoop:
    """The old stack's loss, clipping and Adam, minibatch by minibatch; in the place of `sb3_reference.Trainer`.

    ``settings``: the policy's configuration.
    """

    def __init__(self, policy: Any, observations: Any, ppo: PPOParams, settings: dict[str, Any]) -> None:
        self._policy, self._observations, self._ppo = policy, observations, ppo
        network = policy.network
        self._old = network if isinstance(network, _OldModel) else None
        self._model: Any = _AsModel(network) if self._old is None else self._old.old.model
        self._dist_class: Any = (
            ModelCatalog.get_action_dist(policy.action_space, None, framework="torch")[0]
            if self._old is None
            else self._old.old.dist_class
        )
        self._policy_like: Any = types.SimpleNamespace(
            config=settings,
            entropy_coeff=ppo.ent_coef,
            kl_coeff=settings["kl_coeff"],
            loss_initialized=lambda: False,  # else it writes a warning where a KL divergence is infinite
        )
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=ppo.learning_rate, eps=ppo.adam_eps)

    def run(self, minibatches: list[np.ndarray], columns: dict[str, np.ndarray]) -> Updated:
        updated = Updated()
        advantages = columns["advantages"]
        if self._ppo.normalize_advantage:
            advantages = standardized(advantages)
        everything = np.arange(len(advantages))
        with torch.no_grad():  # what actions were sampled from: the term of KL is of these
            self._sampled = self._model({SampleBatch.OBS: self._shown(everything, columns["action_masks"])})[0]
        first = True
        for rows in minibatches:
            if len(rows) == 0:
                continue
            self._step(updated, rows, columns | {"advantages": advantages})
            gradients = {n: p.grad.numpy() for n, p in self._policy.named_parameters() if p.grad is not None}
            for name, gradient in gradients.items():
                updated.peak[name] = np.maximum(updated.peak.get(name, 0.0), np.abs(gradient))
            if first:
                updated.gradient = {n: g.copy() for n, g in gradients.items()}
            self._optimizer.step()
            if first:
                updated.first = self._parameters()
            first = False
        updated.last = self._parameters()
        return updated

    def _step(self, updated: Updated, rows: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        model = self._model
        actions = torch.as_tensor(columns["actions"][rows]).long()
        batch = SampleBatch(
            {
                SampleBatch.OBS: self._shown(rows, columns["action_masks"]),
                SampleBatch.ACTIONS: actions if actions.shape[1] > 1 else actions[:, 0],
                SampleBatch.ACTION_LOGP: torch.as_tensor(columns["old_log_prob"][rows]),
                "advantages": torch.as_tensor(columns["advantages"][rows]),
                "value_targets": torch.as_tensor(columns["returns"][rows]),
            }
        )
        batch[SampleBatch.ACTION_DIST_INPUTS] = self._sampled[torch.as_tensor(rows)]
        model.train()
        self._optimizer.zero_grad()
        total = PPOTorchPolicy.loss(self._policy_like, model, self._dist_class, batch)
        total.backward()  # type: ignore[union-attr]
        apply_grad_clipping(self._policy_like, self._optimizer, total)
        for name, term in (("policy", "mean_policy_loss"), ("value", "mean_vf_loss"), ("entropy", "mean_entropy")):
            updated.losses[name].append(float(model.tower_stats[term].detach()))

    def _shown(self, rows: np.ndarray, masks: np.ndarray) -> Any:
        space = self._policy.network_space
        given = self._observations
        shown = nested(tree.map_structure(lambda part: torch.as_tensor(part[rows]), given), space)
        if self._old is None:
            return shown
        return self._old.old.processed(self._old.with_mask(shown, torch.as_tensor(masks[rows]).to(torch.int8)))

    def _parameters(self) -> dict[str, np.ndarray]:
        return {name: parameter.detach().numpy().copy() for name, parameter in self._policy.named_parameters()}
