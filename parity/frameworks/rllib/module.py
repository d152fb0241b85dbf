"""The reference port's RLModule: the shared network with its mask and its value function."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from parity.frameworks.network import build_network, by_path, network_input, parts_of
from parity.frameworks.rllib.distributions import mask_logits, masked_distribution
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.task.masks import MASK_KEY, n_logits


class SharedNetworkModule(TorchRLModule, ValueFunctionAPI):
    """A masked actor-critic around ``Network(observation_space, action_space)``.

    ``model_config``: ``network``, the factory; ``seed``, an int that alone determines the initial weights, or None;
    ``vf_preds``, whether sampling returns the values of the same forward pass as ``vf_preds`` (`ExactEnvRunner` takes them
    from there, `FastEnvRunner` asks for them; RLlib's own env runner has no use for them); ``wrapped``, as `unmasked_space`
    has it, True where left out.
    The observation space is a ``Dict`` with an entry ``action_mask``; the rest is what the network sees.
    """

    def setup(self) -> None:
        if not isinstance(self.observation_space, spaces.Dict) or MASK_KEY not in self.observation_space.spaces:
            raise ValueError(f'the observations have no entry "{MASK_KEY}": {self.observation_space}')
        self._wrapped = self.model_config.get("wrapped", True)
        self._network_space = unmasked_space(self.observation_space, self._wrapped)
        self.network = build_network(
            self.model_config["network"], self._network_space, self.action_space, self.model_config.get("seed")
        )
        self.action_dist_cls = masked_distribution(self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self._logits_and_values(batch)[0]}

    def _forward_exploration(self, batch: dict[str, Any], vf_preds: bool = False, **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            logits, values = self._logits_and_values(batch)
        wanted = vf_preds or self.model_config.get("vf_preds", False)
        return {Columns.ACTION_DIST_INPUTS: logits} | ({Columns.VF_PREDS: values} if wanted else {})

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits, values = self._logits_and_values(batch)
        # PPO's loss hands the embeddings back to compute_values: the values travel there, and one pass does both.
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: values}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """Values float32 ``[B]``; ``embeddings``: what ``forward_train`` returned for this batch, else None."""
        return self._logits_and_values(batch)[1] if embeddings is None else embeddings

    def _logits_and_values(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        observations = batch[Columns.OBS]
        shown = unmasked(observations, self.observation_space, self._wrapped)
        logits, values = self.network(network_input(shown, self._network_space))
        return mask_logits(logits, observations[MASK_KEY], self.action_space), values


def unmasked_space(space: spaces.Dict, wrapped: bool = True, mask_key: str = MASK_KEY) -> gymnasium.Space:
    """The part of an RLlib observation space that the network sees.

    Args:
        space: with the mask.
        wrapped: whether an entry ``observations`` that is alone beside the mask only holds the observation, see `is_wrapped`.
        mask_key: the entry that holds the mask.
    """
    rest = {key: part for key, part in space.spaces.items() if key != mask_key}
    return rest[OBSERVATIONS_KEY] if wrapped and list(rest) == [OBSERVATIONS_KEY] else spaces.Dict(rest)


def unmasked(observations: Any, space: spaces.Dict, wrapped: bool = True) -> Any:
    """The part of observations of ``space`` that the network sees; ``wrapped``: as in `unmasked_space`."""
    return observations[OBSERVATIONS_KEY] if wrapped and holds_observations(space) else observations


def holds_observations(space: spaces.Dict) -> bool:
    """Whether an entry ``observations`` is alone beside the mask."""
    return list(space.spaces.keys() - {MASK_KEY}) == [OBSERVATIONS_KEY]


def is_wrapped(space: gymnasium.Space, single: gymnasium.Space, mask_key: str = MASK_KEY) -> bool:
    """Whether the entry ``observations`` of an RLlib observation space holds the whole single-agent observation.

    RLlib's own example of masking wraps an observation into ``{"observations": obs, "action_mask": mask}``, and environments
    are written that show just this: there the entry is part of the observation, which is a Dict for the network too.

    Args:
        space: with the mask.
        single: the single-agent environment's space without its mask, or its entries by path.
        mask_key: the entry that holds the mask.
    """
    if not isinstance(space, spaces.Dict):
        return True
    wanted = by_path(single, single)
    inner, outer = (
        by_path(each, each) for each in (unmasked_space(space, wrapped, mask_key) for wrapped in (True, False))
    )
    if same_tensors(outer, wanted) or same_tensors(inner, wanted):
        return not same_tensors(outer, wanted)
    names = wanted.spaces if isinstance(wanted, spaces.Dict) else ()
    return not (names and all(name.split("/")[0] == OBSERVATIONS_KEY for name in names))


def same_tensors(a: spaces.Space, b: spaces.Space) -> bool:
    """Whether a network gets the same tensors from both; bounds of a Box are no part of them."""
    ours, theirs = parts_of(a), parts_of(b)
    if ours is not None and theirs is not None and type(a) is type(b):
        return set(ours) == set(theirs) and all(same_tensors(ours[key], theirs[key]) for key in ours)
    if isinstance(a, spaces.Box) and isinstance(b, spaces.Box):
        return a.shape == b.shape and a.dtype == b.dtype
    return bool(a == b)


def same_entries(observations: Any, space: gymnasium.Space) -> bool:
    """Whether observations are nested as their space is."""
    ours, wanted = parts_of(observations), parts_of(space)
    if ours is None or wanted is None:
        return ours is wanted
    return ours.keys() == wanted.keys() and all(same_entries(ours[key], wanted[key]) for key in wanted)


class FlatNetwork(torch.nn.Module):
    """The network of agents that the task has none for: flattened observation, two hidden layers of 64, linear heads."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self._space = observation_space
        size = int(spaces.flatdim(observation_space))
        hidden = [torch.nn.Linear(size, 64), torch.nn.Linear(64, 64)]
        self.trunk = torch.nn.Sequential(hidden[0], torch.nn.Tanh(), hidden[1], torch.nn.Tanh())
        self.policy = torch.nn.Linear(64, n_logits(action_space))
        self.value = torch.nn.Linear(64, 1)
        for layer, gain in ((hidden[0], 2**0.5), (hidden[1], 2**0.5), (self.policy, 0.01), (self.value, 1.0)):
            torch.nn.init.orthogonal_(layer.weight, gain=gain)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(_flatten(obs, self._space))
        return self.policy(features), self.value(features).squeeze(-1)


def _flatten(obs: Any, space: spaces.Space) -> torch.Tensor:
    """float32 ``[B, flatdim(space)]``: Discrete entries one-hot, a uint8 image scaled to [0, 1]."""
    match space:
        case spaces.Dict():
            return torch.cat([_flatten(obs[key], part) for key, part in space.spaces.items()], dim=-1)
        case spaces.Tuple():
            return torch.cat([_flatten(*each) for each in zip(obs, space.spaces, strict=True)], dim=-1)
        case spaces.Discrete():
            return torch.nn.functional.one_hot(obs - int(space.start), int(space.n)).float()
        case spaces.MultiDiscrete():
            columns = [torch.nn.functional.one_hot(obs[:, i], int(n)) for i, n in enumerate(space.nvec.reshape(-1))]
            return torch.cat(columns, dim=-1).float()
    flat = obs.reshape(obs.shape[0], -1).float()
    return flat / 255.0 if obs.dtype == torch.uint8 else flat
