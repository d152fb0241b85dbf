"""Good ports whose module is unusual."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical
from torch import nn

from parity.selftest.good import (
    MASK,
    SorterModule,
    SortingNetwork,
)
from parity.selftest.good import good_port as port
from parity.selftest.register import good_port
from parity.task import Task


@good_port("the port that bugs are planted in: own module, own names, a second agent")
def own_module() -> Task:
    return port()


@good_port("parity's reference port of the same task")
def reference_port() -> Task:
    return replace(port(), multi_agent_env=None, learning_agent=None, rllib_module=None, other_modules={})


@good_port("encoders of their own for policy and value")
class SeparateEncoders(SorterModule):
    """Nothing of it corresponds to SB3's network."""

    def setup(self) -> None:
        super().setup()
        self.value_eyes = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.vf = nn.Linear(64, 1)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        pictures = torch.relu(self.value_eyes(self.picture(batch[Columns.OBS]))).flatten(1)
        return self.vf(pictures).squeeze(-1)


@good_port("forward returns values, embeddings and a column of its own, as many examples do")
class ExtraColumns(SorterModule):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        features = self.features(obs)
        return {
            Columns.ACTION_DIST_INPUTS: self.masked(self.pi(features), obs[MASK]),
            Columns.VF_PREDS: self.vf(features).squeeze(-1),
            Columns.EMBEDDINGS: features,
            "largest_feature": features.max(dim=-1).values,
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        features = self.features(batch[Columns.OBS]) if embeddings is None else embeddings
        return self.vf(features).squeeze(-1)


@good_port("two inputs are concatenated in the other order: the same network but for the order of a weight's columns")
class InputsInAnotherOrder(SorterModule):
    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        pictures = torch.relu(self.eyes(self.picture(obs))).flatten(1)
        numbers = torch.tanh(self.counter(torch.cat([self.last(obs), obs["label"].float()], dim=1)))
        return torch.cat([pictures, numbers], dim=1)


@good_port("masks with -inf, and never an empty row")
class MinusInfinity(SorterModule):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask.bool(), logits, -torch.inf)


@good_port("masks as RLlib's example does it: clamp(log(mask), min=FLOAT_MIN)")
class ClampedLogOfTheMask(SorterModule):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits + torch.clamp(torch.log(mask.float()), min=torch.finfo(torch.float32).min)


@good_port("logits come normalised: log-probabilities over the legal actions")
class NormalisedLogits(SorterModule):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(super().masked(logits, mask), dim=-1)


@good_port("the module samples by itself and returns actions and log-probs")
class SamplesByItself(SorterModule):
    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        policy = torch.distributions.Categorical(logits=out[Columns.ACTION_DIST_INPUTS])
        actions = policy.sample()
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: policy.log_prob(actions)}


@good_port("layer normalisation, more layers and another activation: nothing corresponds to SB3's network")
class LayerNormalisation(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.norm = nn.LayerNorm(self.pi.in_features)
        self.deeper = nn.Sequential(nn.Linear(self.pi.in_features, self.pi.in_features), nn.SiLU())

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.deeper(self.norm(super().features(obs)))


@good_port("a recurrent-looking module without state: a GRU cell from zeros")
class GruFromZeros(SorterModule):
    def setup(self) -> None:
        super().setup()
        width = self.pi.in_features
        self.cell, self.small = nn.GRUCell(width, 32), nn.Linear(32, width)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.tanh(self.small(self.cell(super().features(obs))))


@good_port("dropout in evaluation mode only: nn.Dropout(p=0)")
class DropoutOfNothing(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.drop = nn.Dropout(0.0)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.drop(super().features(obs))


@good_port("PyTorch's default initialisation")
class DefaultInitialisation(SorterModule):
    def setup(self) -> None:
        super().setup()
        for layer in (self.eyes, self.counter, self.pi, self.vf):
            layer.reset_parameters()


@good_port("a pretrained part is frozen on purpose, in a network of its own shape")
class FrozenOnPurpose(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.pretrained = nn.Linear(self.pi.in_features, self.pi.in_features)
        self.pretrained.requires_grad_(False)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.relu(self.pretrained(super().features(obs)))


@good_port("a buffer that counts calls, and nothing computed from it")
class CountsItsCalls(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        self.calls += 1
        return super().features(obs)


@good_port("the module picks its actions itself, and gives no distribution for inference")
class PicksItsActionsItself(SorterModule):
    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        policy = self.get_exploration_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
        actions = policy.sample()
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: policy.logp(actions)}

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTIONS: self._forward(batch)[Columns.ACTION_DIST_INPUTS].argmax(dim=-1)}


@good_port("the module keeps its last values, for a log")
class KeepsItsLastValues(SorterModule):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        self.last_values = super().compute_values(batch)
        return self.last_values


class _MaskedCategorical(TorchCategorical):
    """Takes logits and mask side by side."""

    @classmethod
    def from_logits(cls, logits: torch.Tensor, **kwargs: Any) -> Any:
        logits, mask = logits.chunk(2, dim=-1)
        return TorchCategorical(logits=logits.masked_fill(mask == 0, torch.finfo(logits.dtype).min))

    @staticmethod
    def required_input_dim(space: Any, **kwargs: Any) -> int:
        return 2 * int(space.n)


@good_port("the mask is applied in the distribution class")
class MaskInTheDistribution(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.action_dist_cls = _MaskedCategorical

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(self.features(obs))
        return {Columns.ACTION_DIST_INPUTS: torch.cat([logits, obs[MASK].float()], dim=-1)}


@good_port("logits and values are bounded on both sides")
def bounded_on_both_sides() -> Task:
    class Network(SortingNetwork):
        def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            logits, values = super().forward(obs)
            return logits.clamp(-5.0, 5.0), 20.0 * torch.tanh(values / 20.0)

    class Module(SorterModule):
        def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return super().masked(torch.clip(logits, -5.0, 5.0), mask)

        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            return 20.0 * torch.tanh(super().compute_values(batch) / 20.0)

    return replace(port(), network=Network, rllib_module=Module)
