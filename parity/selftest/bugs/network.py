"""Networks that see something else, or something less, than SB3's."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from torch import nn

from parity.selftest.good import SHELVES, SorterModule
from parity.selftest.ports.modules import SeparateEncoders
from parity.selftest.register import bug, planted, wrong


@planted
class Networks(SorterModule):
    """Bugs of what the network makes of its inputs."""

    @wrong("picture", "the picture is not scaled", "PAR101", "PAR102")
    def picture_not_scaled(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return obs["picture"].float()

    @wrong(
        "picture", "the picture is divided by 255 as an integer: it is black", "PAR101", "PAR102", "PAR602", "PAR604"
    )
    def picture_divided_as_integer(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return (obs["picture"].to(torch.uint8) // 255).float()

    @wrong("picture", "height and width of the picture are swapped", "PAR101", "PAR102")
    def picture_transposed(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().picture(obs).transpose(-1, -2)

    @wrong("picture", "the picture is reshaped where its axes should be permuted", "PAR101", "PAR102")
    def picture_reshaped(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        picture = super().picture(obs)
        return picture.permute(0, 2, 3, 1).reshape(picture.shape)

    @wrong("last", "the last action goes in as a number instead of one-hot", "PAR101", "PAR102")
    def number_instead_of_one_hot(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        number = obs["last"].float().reshape(-1, 1)
        return torch.cat([number, torch.zeros(len(number), SHELVES - 1)], dim=1)

    @wrong("features", "another activation", "PAR101", "PAR102")
    def another_activation(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        pictures = nn.functional.elu(self.eyes(self.picture(obs))).flatten(1)
        numbers = torch.tanh(self.counter(torch.cat([obs["label"].float(), self.last(obs)], dim=1)))
        return torch.cat([pictures, numbers], dim=1)

    @wrong("features", "features in half precision", "PAR101", "PAR102")
    def half_precision(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().features(obs).to(torch.bfloat16).float()


@bug("an entry of the observation is left out, where the network corresponds to SB3's", "PAR101", "PAR102")
class InputLeftOut(SorterModule):
    def last(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.zeros_like(super().last(obs))


@bug("in a network of its own shape, the value's encoder is detached", "PAR602")
class OwnNetworkWithADetachedEncoder(SeparateEncoders):
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        with torch.no_grad():
            pictures = torch.relu(self.value_eyes(self.picture(batch[Columns.OBS]))).flatten(1)
        return self.vf(pictures).squeeze(-1)


@bug("in a network of its own shape, the mask is left out when training", "PAR201", "PAR303")
class OwnNetworkWithoutAMaskInTraining(SeparateEncoders):
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(self.features(batch[Columns.OBS]))}


@bug("in a network of its own shape, the picture is divided as an integer and is black", "PAR602", "PAR604")
class OwnNetworkWithABlackPicture(SeparateEncoders):
    def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return (obs["picture"].to(torch.uint8) // 255).float()


@bug("in a network of its own shape, an entry of the observation is left out", "PAR108")
class OwnNetworkThatLeavesOutAnInput(InputLeftOut, SeparateEncoders):
    pass
