"""The shared networks of the tiles problem: convolutions for the image, an MLP for the rest, linear heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from gymnasium import spaces
from torch import nn
from torch.nn.functional import one_hot

HIDDEN = 64


class TilesNetwork(nn.Module):
    """A small actor-critic for ``TilesEnv``, pre-processing included.

    The image is scaled to [0, 1] and goes through three convolutions of stride 2 (32 -> 16 -> 8 -> 4 pixels a side); the
    softmax and the one-hot ``prev_agent_action`` go through two layers of 64. The entry ``truncated`` is left out: it is 1
    only in the last observation of a truncated episode, whose value is the bootstrap, and a flag that no trained
    observation carries would shift that value by weights that were never trained.

    Initialised as Stable-Baselines3 does: orthogonal with gain sqrt(2) in the trunk, 0.01 for the logits, 1 for the value;
    biases 0.

    Args:
        observation_space: a ``Dict`` with ``image``, ``softmax`` and ``prev_agent_action``, as of ``TilesEnv``; other
            entries are ignored.
        action_space: ``Discrete(16)``.
        width: how many times as many channels and hidden units.
    """

    channels: Sequence[int] = (8, 16, 32)

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space, width: int = 1) -> None:
        super().__init__()
        assert isinstance(observation_space, spaces.Dict) and isinstance(action_space, spaces.Discrete)
        image, softmax = observation_space["image"], observation_space["softmax"]
        previous = observation_space["prev_agent_action"]
        assert image.shape is not None and softmax.shape is not None and isinstance(previous, spaces.Discrete)
        self._n_previous = int(previous.n)
        first, second, third = (width * channels for channels in self.channels)
        hidden = width * HIDDEN
        self.cnn = nn.Sequential(
            nn.Conv2d(image.shape[0], first, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, third, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mlp = nn.Sequential(
            nn.Linear(softmax.shape[0] + self._n_previous, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        with torch.no_grad():
            features = self.cnn(torch.zeros(1, *image.shape)).shape[1] + hidden
        self.logits_head = nn.Linear(features, int(action_space.n))
        self.value_head = nn.Linear(features, 1)
        self._initialise()

    def _initialise(self) -> None:
        gains: dict[nn.Module, float] = {self.logits_head: 0.01, self.value_head: 1.0}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight, gain=gains.get(module, 2**0.5))
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, obs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 ``[B, 16]``, unmasked, and values float32 ``[B]``.

        Args:
            obs: ``image`` uint8 ``[B, 3, 32, 32]``, ``softmax`` float32 ``[B, K]``, ``prev_agent_action`` int64 ``[B]``.
        """
        previous = one_hot(obs["prev_agent_action"], self._n_previous).float()
        vector = torch.cat([obs["softmax"], previous], dim=1)
        features = torch.cat([self.cnn(obs["image"].float() / 255.0), self.mlp(vector)], dim=1)
        return self.logits_head(features), self.value_head(features).squeeze(-1)


class FullTilesNetwork(TilesNetwork):
    """The same with 32, 64 and 128 channels: 2,048 features of the image."""

    channels = (32, 64, 128)
