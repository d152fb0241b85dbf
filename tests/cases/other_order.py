"""A port of tiles that flattens its image with channels last, and puts what it sees together in another order."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn
from torch.nn.functional import one_hot

from parity.task import Task
from parity.task.registry import load, resolve


class ChannelsLast(TorchRLModule, ValueFunctionAPI):
    unseen: ClassVar[int] = 0  # so many features of the image are lost

    def setup(self) -> None:
        torch.manual_seed(0)
        image, previous = self.observation_space["image"], self.observation_space["prev_agent_action"]
        self.n_previous, channels = int(previous.n), [image.shape[0], 8, 16, 32]
        self.convs = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], kernel, stride=2, padding=1) for i, kernel in enumerate((4, 4, 3))
        )
        seen = self.n_previous + self.observation_space["softmax"].shape[0]
        self.dense = nn.ModuleList([nn.Linear(seen, 64), nn.Linear(64, 64)])
        self.pi, self.vf = nn.Linear(64 + 32 * 4 * 4, int(self.action_space.n)), nn.Linear(64 + 32 * 4 * 4, 1)

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        image = obs["image"].float() / 255
        for conv in self.convs:
            image = torch.relu(conv(image))
        image = image.permute(0, 2, 3, 1).flatten(1)
        if self.unseen:
            image = torch.cat([torch.zeros_like(image[:, : self.unseen]), image[:, self.unseen :]], dim=1)
        vector = torch.cat([one_hot(obs["prev_agent_action"].long(), self.n_previous).float(), obs["softmax"]], dim=1)
        for layer in self.dense:
            vector = torch.relu(layer(vector))
        return torch.cat([vector, image], dim=1)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(self.features(obs))
        return {Columns.ACTION_DIST_INPUTS: logits.masked_fill(obs["action_mask"] == 0, torch.finfo(logits.dtype).min)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch[Columns.OBS])).squeeze(-1)


class HalfBlind(ChannelsLast):
    unseen = 256


def tiles_with(module: type[TorchRLModule]) -> Task:
    return dataclasses.replace(load(resolve("tiles")), rllib_module=module)
