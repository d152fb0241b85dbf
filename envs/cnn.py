"""The network of tasks whose observations are images."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import nn

from parity.task.masks import n_logits

# Below this side Nature's filters leave nothing over.
NATURE_SIDE = 36


class CnnNetwork(nn.Module):
    """An actor-critic as Stable-Baselines3's ``CnnPolicy`` builds it: the convolutions of Mnih et al. (2015) with a layer of
    512 units, shared by policy and value; two layers of small filters where an image is too small for them.

    Args:
        observation_space: ``Box`` of three dimensions; the smallest is taken for the channels, first or last. Integers are
            divided by 255.
        action_space: ``Discrete``, ``MultiDiscrete`` or ``MultiBinary``.
    """

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Space) -> None:
        super().__init__()
        if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
            raise ValueError(
                f"CnnNetwork takes images, Box [h, w, c] or [c, h, w], not {observation_space}: use the mlp"
            )
        shape = observation_space.shape
        self._channels_last = shape[2] <= shape[0]
        self._scale = 255.0 if observation_space.dtype.kind in "iu" else 1.0
        channels, *sides = (shape[2], *shape[:2]) if self._channels_last else shape
        layers = ((32, 8, 4), (64, 4, 2), (64, 3, 1)) if min(sides) >= NATURE_SIDE else ((16, 2, 1), (32, 2, 1))
        convolutions: list[nn.Module] = []
        for filters, size, stride in layers:
            convolutions += [nn.Conv2d(channels, filters, size, stride), nn.ReLU()]
            channels = filters
        self.convolutions = nn.Sequential(*convolutions, nn.Flatten())
        with torch.no_grad():
            flat = self._convolved(torch.zeros(1, *shape)).shape[1]
        self.features = nn.Sequential(nn.Linear(flat, 512), nn.ReLU())
        self.policy = nn.Linear(512, n_logits(action_space))
        self.value = nn.Linear(512, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                gain = {id(self.policy): 0.01, id(self.value): 1.0}.get(id(module), 2**0.5)
                nn.init.orthogonal_(module.weight, gain=gain)
                nn.init.zeros_(module.bias)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 ``[B, n_logits]``, unmasked, and values float32 ``[B]``; ``obs``: ``[B, *space.shape]``."""
        features = self.features(self._convolved(obs))
        return self.policy(features), self.value(features).squeeze(-1)

    def _convolved(self, obs: torch.Tensor) -> torch.Tensor:
        image = obs.float() / self._scale
        return self.convolutions(image.permute(0, 3, 1, 2) if self._channels_last else image)
