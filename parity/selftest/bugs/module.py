"""Modules that compute, hide or change something else than they should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity.selftest.good import MASK, SHELVES, SorterModule
from parity.selftest.register import bug, planted, wrong
from parity.task import Task


def _without_api(**more: Any) -> type:
    """The good module's methods in a class that is no ValueFunctionAPI."""
    names = ("setup", "picture", "last", "features", "masked", "_forward", "compute_values")
    own = {name: getattr(SorterModule, name) for name in names}
    return type("SorterWithoutApi", (TorchRLModule,), own | more)


@bug("the module is no ValueFunctionAPI and returns zeros as advantages: the reported bug", "PAR003")
def zeros_as_advantages(good: Task) -> Task:
    def _forward(self: Any, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = SorterModule._forward(self, batch)
        zeros = torch.zeros(len(out[Columns.ACTION_DIST_INPUTS]))
        return {**out, Columns.ADVANTAGES: zeros, Columns.VALUE_TARGETS: zeros}

    return replace(good, rllib_module=_without_api(_forward=_forward))


@bug("the module is no ValueFunctionAPI: KeyError at the first update", "PAR003")
def no_value_function_api(good: Task) -> Task:
    return replace(good, rllib_module=_without_api())


@planted
class Modules(SorterModule):
    """Bugs of single methods of the module."""

    @wrong("features", "the encoder runs without gradients", "PAR602")
    def encoder_detached(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().features(obs).detach()

    @wrong("compute_values", "values are detached", "PAR602")
    def values_detached(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return super().compute_values(batch).detach()

    @wrong(
        "compute_values",
        "the value head gets its features detached: the encoder learns from the policy alone",
        "PAR603",
    )
    def value_features_detached(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch[Columns.OBS]).detach()).squeeze(-1)

    @wrong("compute_values", "the value head sees the picture's features only", "PAR102")
    def value_head_on_other_features(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        features = self.features(batch[Columns.OBS])
        return self.vf(torch.cat([features[:, :-16], torch.zeros_like(features[:, -16:])], 1)).squeeze(-1)

    @wrong("compute_values", "values are squashed by tanh", "PAR102")
    def values_squashed(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return torch.tanh(super().compute_values(batch))

    @wrong("compute_values", "values have shape [B, 1], which broadcasts against [B]", "PAR105")
    def values_with_a_last_axis(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return super().compute_values(batch).unsqueeze(-1)

    @wrong("compute_values", "dropout in the value head alone", "PAR102", "PAR104")
    def dropout_in_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        features = nn.functional.dropout(self.features(batch[Columns.OBS]), 0.2, training=self.training)
        return self.vf(features).squeeze(-1)

    @wrong(
        "masked", "advantages are normalised in the module: logits are standardised over the batch", "PAR303", "PAR101"
    )
    def logits_standardised_over_the_batch(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().masked((logits - logits.mean()) / (logits.std() + 1e-8), mask)

    @wrong("_forward_train", "training divides logits by a temperature, sampling does not", "PAR303", "PAR205")
    def temperature_in_training(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(self.features(obs)) / 1.5, obs[MASK])}

    @wrong("_forward_exploration", "exploration adds noise to the logits", "PAR303", "PAR205")
    def noise_in_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(self.features(obs))
        return {Columns.ACTION_DIST_INPUTS: self.masked(logits + 0.3 * torch.randn_like(logits), obs[MASK])}

    @wrong("_forward_inference", "inference forgets an input", "PAR205")
    def other_features_at_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return self._forward({Columns.OBS: {**obs, "last": torch.zeros_like(obs["last"])}})

    @wrong(
        "_forward_exploration",
        "the module samples its actions itself and returns the log-probs of other ones",
        "PAR303",
    )
    def own_log_probs_of_other_actions(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        policy = torch.distributions.Categorical(logits=out[Columns.ACTION_DIST_INPUTS])
        return {**out, Columns.ACTIONS: policy.sample(), Columns.ACTION_LOGP: policy.log_prob(policy.sample())}

    @wrong("_forward_exploration", "the module returns the log-probs of the unmasked distribution", "PAR303")
    def own_log_probs_unmasked(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        actions = torch.distributions.Categorical(logits=out[Columns.ACTION_DIST_INPUTS]).sample()
        unmasked = torch.distributions.Categorical(logits=self.pi(self.features(batch[Columns.OBS])))
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: unmasked.log_prob(actions)}

    @wrong("features", "NaN for one kind of observation", "PAR106")
    def nan_for_some_observations(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        features = super().features(obs)
        # 0 / 0 where the last action was number 5.
        scale = (obs["last"].reshape(-1, 1) != SHELVES - 1).float()
        return features * scale / scale

    @wrong("_forward", "the forward pass pops the mask out of its batch", "PAR103", "PAR107", "PAR506")
    def batch_popped(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        mask = batch[Columns.OBS].pop(MASK)
        logits = self.pi(self.features(batch[Columns.OBS]))
        return {Columns.ACTION_DIST_INPUTS: self.masked(logits, mask)}

    @wrong("features", "the forward pass scales an entry of its batch in place", "PAR103", "PAR104")
    def batch_scaled_in_place(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        obs["label"].mul_(0.9)
        return super().features(obs)

    @wrong("features", "outputs are finite and their gradient is NaN: that of the square root of 0", "PAR601", "PAR506")
    def gradient_nan(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        features = super().features(obs)
        return features + 0 * torch.sqrt(0 * features[:, :1])

    @wrong("compute_values", "compute_values raises", "PAR107")
    def values_raise(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        raise RuntimeError("no values today")

    @wrong("setup", "the policy's layer starts a hundred times smaller than SB3's", "PAR020")
    def policy_starts_smaller(self) -> None:
        super().setup()
        self.pi.weight.data *= 0.01

    @wrong("setup", "a layer has requires_grad=False", "PAR605")
    def layer_frozen(self) -> None:
        super().setup()
        self.eyes.requires_grad_(False)

    @wrong(
        "compute_values",
        "the module raises on what one agent never shows: an episode's last observation",
        "PAR107",
        "PAR312",
        "PAR506",
    )
    def raises_on_some_observations(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        if (batch[Columns.OBS]["last"] == 0).any():
            raise IndexError("there is no last shelf")
        return super().compute_values(batch)

    @wrong("_forward_exploration", "exploration picks the most likely action, and gives its log-probability", "PAR205")
    def greedy_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        policy = self.get_exploration_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
        actions = out[Columns.ACTION_DIST_INPUTS].argmax(dim=-1)
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: policy.logp(actions)}

    @wrong("masked", "logits are clamped to [-10, 10], where initial ones never are", "PAR109")
    def logits_clamped(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().masked(logits.clamp(-10.0, 10.0), mask)

    @wrong("masked", "logits are bounded by 8 tanh(logits / 8)", "PAR109", "PAR101")
    def logits_softly_bounded(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().masked(8.0 * torch.tanh(logits / 8.0), mask)

    @wrong("compute_values", "values are clamped to [-100, 100], where initial ones never are", "PAR109")
    def values_clamped(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return super().compute_values(batch).clamp(-100.0, 100.0)

    @wrong("_forward_exploration", "one action in ten is drawn uniformly, which a near-uniform policy hides", "PAR205")
    def epsilon_greedy(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        policy = torch.distributions.Categorical(logits=out[Columns.ACTION_DIST_INPUTS])
        legal = torch.distributions.Categorical(probs=batch[Columns.OBS][MASK].float())
        actions = torch.where(torch.rand(len(policy.logits)) < 0.1, legal.sample(), policy.sample())
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: policy.log_prob(actions)}

    @wrong("_forward_exploration", "exploration is flattened once the policy is decided", "PAR205")
    def probabilities_floored(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        out = self._forward(batch)
        legal = torch.log_softmax(out[Columns.ACTION_DIST_INPUTS], dim=-1)
        return {Columns.ACTION_DIST_INPUTS: self.masked(legal.clamp(min=-6.0), batch[Columns.OBS][MASK])}


@bug("one layer of the encoder is detached", "PAR602")
class OneLayerDetached(SorterModule):
    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            pictures = torch.relu(self.eyes(self.picture(obs))).flatten(1)
        numbers = torch.tanh(self.counter(torch.cat([obs["label"].float(), self.last(obs)], dim=1)))
        return torch.cat([pictures, numbers], dim=1)


@bug("dropout in the features, active while advantages are computed", "PAR104", "PAR102")
class DropoutInFeatures(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.drop = nn.Dropout(0.2)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.drop(super().features(obs))


@bug("batch normalisation: an observation's probabilities depend on who is in the batch", "PAR303", "PAR102", "PAR104")
class BatchNormalisation(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.norm = nn.BatchNorm1d(self.pi.in_features, affine=False)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.norm(super().features(obs))


@bug("a running mean of observations goes into the features", "PAR104", "PAR303", "PAR102")
class RunningMeanInForward(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.mean = torch.zeros(4)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        self.mean = 0.9 * self.mean + 0.1 * obs["label"].detach().float().mean(dim=0)
        return super().features({**obs, "label": obs["label"] - self.mean})


@bug("a layer is not a registered submodule: it stands in a plain list", "PAR606", "PAR303", "PAR101", "PAR102")
class LayerNotRegistered(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.extra = [nn.Linear(16, 16)]

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        features = super().features(obs)
        return torch.cat([features[:, :-16], torch.tanh(self.extra[0](features[:, -16:]))], dim=1)


@bug("policy and value head are each other's layer", "PAR105", "PAR107", "PAR101", "PAR001")
class LogitsOfTheWrongWidth(SorterModule):
    def setup(self) -> None:
        super().setup()
        self.pi = nn.Linear(self.pi.in_features, SHELVES + 1)

    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().masked(logits, nn.functional.pad(mask, (0, 1)))


@bug("compute_values uses embeddings of another pass: those of the policy, scaled", "PAR102")
class StaleEmbeddings(SorterModule):
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**self._forward(batch), Columns.EMBEDDINGS: self.features(batch[Columns.OBS]) * 0.9}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch[Columns.OBS]) if embeddings is None else embeddings).squeeze(-1)


@bug("what env runners are given leaves out a layer", "PAR805")
class StateWithoutALayer(SorterModule):
    def get_state(self, *args: Any, inference_only: bool = False, **kwargs: Any) -> Any:
        state = super().get_state(*args, inference_only=inference_only, **kwargs)
        return {k: v for k, v in state.items() if not k.startswith("counter")} if inference_only else state

    def set_state(self, state: Any) -> None:
        self.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()}, strict=False)
