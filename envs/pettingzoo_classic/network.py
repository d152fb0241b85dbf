"""The shared network of the board games."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import nn


class BoardNetwork(nn.Module):
    """Two hidden layers of 128 over both players' stones, linear heads.

    Initialised as Stable-Baselines3 does: orthogonal with gain sqrt(2) in the trunk, 0.01 for the logits, 1 for the value;
    biases 0.

    Args:
        observation_space: a ``Dict`` with ``observation``, int8 ``[rows, columns, 2]``: own stones, the opponent's.
        action_space: ``Discrete``.
    """

    hidden = 128

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        assert isinstance(observation_space, spaces.Dict) and isinstance(action_space, spaces.Discrete)
        squares = spaces.flatdim(observation_space["observation"])
        self.trunk = nn.Sequential(
            nn.Flatten(), nn.Linear(squares, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.hidden), nn.ReLU()
        )
        self.logits_head = nn.Linear(self.hidden, int(action_space.n))
        self.value_head = nn.Linear(self.hidden, 1)
        gains: dict[nn.Module, float] = {self.logits_head: 0.01, self.value_head: 1.0}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=gains.get(module, 2**0.5))
                nn.init.zeros_(module.bias)

    def forward(self, obs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 ``[B, n]``, unmasked, and values float32 ``[B]``."""
        features = self.trunk(obs["observation"].float())
        return self.logits_head(features), self.value_head(features).squeeze(-1)
