"""Networks that see something else, or something less, than SB3's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from torch import nn

from parity.selftest.good import SHELVES, SorterModule
from parity.selftest.register import bug
from parity.task import Task


@bug("the picture is not scaled", "PAR101", "PAR102")
def picture_not_scaled(good: Task) -> Task:
    class Module(SorterModule):
        def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return obs["picture"].float()

    return replace(good, rllib_module=Module)


@bug("the picture is divided by 255 as an integer: it is black", "PAR101", "PAR102", "PAR602", "PAR604")
def picture_divided_as_integer(good: Task) -> Task:
    class Module(SorterModule):
        def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return (obs["picture"].to(torch.uint8) // 255).float()

    return replace(good, rllib_module=Module)


@bug("height and width of the picture are swapped", "PAR101", "PAR102")
def picture_transposed(good: Task) -> Task:
    class Module(SorterModule):
        def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return super().picture(obs).transpose(-1, -2)

    return replace(good, rllib_module=Module)


@bug("the picture is reshaped where its axes should be permuted", "PAR101", "PAR102")
def picture_reshaped(good: Task) -> Task:
    class Module(SorterModule):
        def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            picture = super().picture(obs)
            return picture.permute(0, 2, 3, 1).reshape(picture.shape)

    return replace(good, rllib_module=Module)


@bug("the last action goes in as a number instead of one-hot", "PAR101", "PAR102")
def number_instead_of_one_hot(good: Task) -> Task:
    class Module(SorterModule):
        def last(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            number = obs["last"].float().reshape(-1, 1)
            return torch.cat([number, torch.zeros(len(number), SHELVES - 1)], dim=1)

    return replace(good, rllib_module=Module)


@bug("two inputs are concatenated in the other order", "PAR101", "PAR102")
def inputs_in_another_order(good: Task) -> Task:
    class Module(SorterModule):
        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            pictures = torch.relu(self.eyes(self.picture(obs))).flatten(1)
            numbers = torch.tanh(self.counter(torch.cat([self.last(obs), obs["label"].float()], dim=1)))
            return torch.cat([pictures, numbers], dim=1)

    return replace(good, rllib_module=Module)


@bug("another activation", "PAR101", "PAR102")
def another_activation(good: Task) -> Task:
    class Module(SorterModule):
        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            pictures = nn.functional.elu(self.eyes(self.picture(obs))).flatten(1)
            numbers = torch.tanh(self.counter(torch.cat([obs["label"].float(), self.last(obs)], dim=1)))
            return torch.cat([pictures, numbers], dim=1)

    return replace(good, rllib_module=Module)


@bug("features in half precision", "PAR101", "PAR102")
def half_precision(good: Task) -> Task:
    class Module(SorterModule):
        def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return super().features(obs).to(torch.bfloat16).float()

    return replace(good, rllib_module=Module)


class _TwoEncoders(SorterModule):
    """An encoder of its own for the value: nothing of it corresponds to SB3's network."""

    def setup(self) -> None:
        super().setup()
        self.value_eyes = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.critic = nn.Linear(64, 1)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        pictures = torch.relu(self.value_eyes(self.picture(batch[Columns.OBS]))).flatten(1)
        return self.critic(pictures).squeeze(-1)


@bug("in a network of its own shape, the value's encoder is detached", "PAR602")
def own_network_with_a_detached_encoder(good: Task) -> Task:
    class Module(_TwoEncoders):
        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            with torch.no_grad():
                pictures = torch.relu(self.value_eyes(self.picture(batch[Columns.OBS]))).flatten(1)
            return self.critic(pictures).squeeze(-1)

    return replace(good, rllib_module=Module)


@bug("in a network of its own shape, the mask is left out when training", "PAR201", "PAR303")
def own_network_without_a_mask_in_training(good: Task) -> Task:
    class Module(_TwoEncoders):
        def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return {Columns.ACTION_DIST_INPUTS: self.actor(self.features(batch[Columns.OBS]))}

    return replace(good, rllib_module=Module)


@bug("in a network of its own shape, the picture is divided as an integer and is black", "PAR602", "PAR604")
def own_network_with_a_black_picture(good: Task) -> Task:
    class Module(_TwoEncoders):
        def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return (obs["picture"].to(torch.uint8) // 255).float()

    return replace(good, rllib_module=Module)


@bug("in a network of its own shape, an entry of the observation is left out", "PAR108")
def own_network_that_leaves_out_an_input(good: Task) -> Task:
    class Module(_TwoEncoders):
        def last(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.zeros_like(super().last(obs))

    return replace(good, rllib_module=Module)
