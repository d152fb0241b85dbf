"""The reference port's model on the old API stack: the shared network with its mask and its value function."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from ray.rllib.models.torch.torch_action_dist import TorchMultiCategorical
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2

from parity.frameworks.network import build_network, network_input
from parity.frameworks.rllib.distributions import mask_logits
from parity.frameworks.rllib.module import unmasked, unmasked_space
from parity.task.masks import MASK_KEY, choices, n_logits


class SharedNetworkModel(TorchModelV2, torch.nn.Module):
    """A masked actor-critic around ``Network(observation_space, action_space)``.

    ``custom_model_config``: ``network``, ``seed`` and ``wrapped`` as `parity.frameworks.rllib.module.SharedNetworkModule` has
    them. The observation space is a ``Dict`` with an entry ``action_mask``; with RLlib's preprocessors or without.
    """

    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: int, model_config: dict[str, Any], name: str, **given: Any
    ) -> None:
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        torch.nn.Module.__init__(self)
        self._preprocessed = hasattr(obs_space, "original_space")
        self._space: Any = original_space(obs_space)
        if not isinstance(self._space, spaces.Dict) or MASK_KEY not in self._space.spaces:
            raise ValueError(f'the observations have no entry "{MASK_KEY}": {self._space}')
        self._wrapped = given.get("wrapped", True)
        self._network_space = unmasked_space(self._space, self._wrapped)
        self.network = build_network(given["network"], self._network_space, action_space, given.get("seed"))
        self._actions = action_space
        self._values: torch.Tensor | None = None

    def forward(self, input_dict: Any, state: list[Any], seq_lens: Any) -> tuple[torch.Tensor, list[Any]]:
        """Masked logits float32 ``[B, n_logits]`` and no state."""
        observations = input_dict["obs"]
        if self._preprocessed:
            observations = restored(observations, self._space)
        shown = unmasked(observations, self._space, self._wrapped)
        logits, self._values = self.network(network_input(shown, self._network_space))
        return mask_logits(logits, observations[MASK_KEY], self._actions), state

    def value_function(self) -> torch.Tensor:
        """Values float32 ``[B]`` of the last forward pass."""
        assert self._values is not None
        return self._values


class TorchMultiBinary(TorchMultiCategorical):
    """Two logits for each entry of a ``MultiBinary``, which RLlib's old stack has no distribution for."""

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(inputs, model, input_lens=choices(model.action_space))

    @staticmethod
    def required_model_output_shape(action_space: gymnasium.Space, model_config: Any) -> int:
        return n_logits(action_space)


def original_space(space: Any) -> gymnasium.Space:
    """The space before RLlib's preprocessors flattened it."""
    return getattr(space, "original_space", space)


def restored(observations: Any, space: spaces.Space) -> Any:
    """What the environment showed, from what RLlib's preprocessors make of it: numbers of one-hot vectors, own dtypes."""
    match space:
        case spaces.Dict():
            return {key: restored(observations[key], part) for key, part in space.spaces.items()}
        case spaces.Discrete():
            return observations.argmax(dim=-1) + int(space.start)
        case spaces.MultiDiscrete():
            parts = observations.split(space.nvec.reshape(-1).tolist(), dim=-1)
            return torch.stack([part.argmax(dim=-1) for part in parts], dim=-1)
        case spaces.Box() if space.dtype == "uint8":
            return observations.to(torch.uint8)
    return observations
