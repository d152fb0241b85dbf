"""The network of tasks whose observations are vectors or numbers: two small multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import nn
from torch.nn.functional import one_hot

from parity.task.masks import n_logits


class MlpNetwork(nn.Module):
    """An actor-critic as Stable-Baselines3's ``MlpPolicy`` builds it, pre-processing included.

    Policy and value have a perceptron each, of two layers with tanh. Initialised orthogonally with gain sqrt(2) in hidden
    layers, 0.01 for the logits and 1 for the value; biases 0.

    Args:
        observation_space: ``Box`` (flattened), ``Discrete`` or ``MultiDiscrete`` (one-hot), ``MultiBinary``, or a
            ``Dict`` or ``Tuple`` of them, side by side.
        action_space: ``Discrete``, ``MultiDiscrete`` or ``MultiBinary``.
        hidden: units of each hidden layer.
        value_scale: the value head's output is multiplied by it: about the size of the task's returns, where these are far
            above 1 and would otherwise take long to reach by small steps.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        hidden: Sequence[int] = (64, 64),
        value_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._space, self._value_scale = observation_space, value_scale
        size = int(spaces.flatdim(observation_space))
        self.policy = _perceptron(size, hidden, n_logits(action_space), head_gain=0.01)
        self.value = _perceptron(size, hidden, 1, head_gain=1.0)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 ``[B, n_logits]``, unmasked, and values float32 ``[B]``; ``obs``: ``[B, *space.shape]``."""
        features = self.features(obs)
        return self.policy(features), self._value_scale * self.value(features).squeeze(-1)

    def features(self, obs: Any) -> torch.Tensor:
        """float32 ``[B, flatdim(space)]``."""
        return _flat(self._space, obs)


def _flat(space: spaces.Space, obs: Any) -> torch.Tensor:
    match space:
        case spaces.Discrete():
            return one_hot(obs, int(space.n)).float()
        case spaces.MultiDiscrete():
            return torch.cat([one_hot(obs[:, i], int(n)) for i, n in enumerate(space.nvec)], dim=1).float()
        case spaces.Dict():
            return torch.cat([_flat(part, obs[name]) for name, part in space.spaces.items()], dim=1)
        case spaces.Tuple():
            return torch.cat([_flat(part, obs[i]) for i, part in enumerate(space.spaces)], dim=1)
    return obs.reshape(len(obs), -1).float()


def _perceptron(inputs: int, hidden: Sequence[int], outputs: int, head_gain: float) -> nn.Sequential:
    sizes = [inputs, *hidden]
    layers: list[nn.Module] = []
    for before, after in zip(sizes, hidden, strict=False):
        layers += [_linear(before, after, 2**0.5), nn.Tanh()]
    return nn.Sequential(*layers, _linear(sizes[-1], outputs, head_gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer
