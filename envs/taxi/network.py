"""Taxi's network: the number of a state is taken apart before two perceptrons see it."""

from __future__ import annotations

import torch
from gymnasium import spaces
from parity_envs.mlp import MlpNetwork
from torch.nn.functional import one_hot

# Taxi counts its states as ((row * 5 + column) * 5 + passenger) * 4 + destination.
RADICES = (5, 5, 5, 4)
# About the return of an episode without a delivery, discounted by 0.99.
VALUE_SCALE = 50.0


class TaxiNetwork(MlpNetwork):
    """Row and column of the taxi, where the passenger is and wants to go, one-hot side by side."""

    def __init__(self, observation_space: spaces.Discrete, action_space: spaces.Space) -> None:
        super().__init__(spaces.MultiDiscrete(RADICES), action_space, value_scale=VALUE_SCALE)

    def features(self, obs: torch.Tensor) -> torch.Tensor:
        """float32 ``[B, 19]`` from int64 ``[B]``."""
        parts = []
        for radix in reversed(RADICES):
            parts.append(one_hot(obs % radix, radix))
            obs = obs // radix
        return torch.cat(parts[::-1], dim=1).float()
