"""The reported port in both forms: as it worked on RLlib's old API stack, and as it was moved to the new one, where it fails.

The author had a masked ``TorchModelV2`` that learned. On the new stack the same layers became ``port.MaskedPPOModule``, and
nothing said that RLlib computes neither advantages nor value targets for it. Configurations are the task's on both stacks, so
that the move is all that differs, and SB3's network has the same layers, so that every number can be compared.

Usage: parity check --task envs/reported/old_stack.py --frameworks rllib-old-stack rllib
       parity check --task envs/reported/old_stack.py --old-against-new
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from parity_envs.reported.port import MaskedPPOModule, ResSelectorModule
from parity_envs.tiles.task import tiles
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from torch import nn


class Network(nn.Module):
    """The layers of the report, as SB3 trains them."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        n_softmax = observation_space["softmax"].shape[0]
        self.cnn = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mlp = nn.Sequential(nn.Linear(n_softmax + 1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.pi = nn.Linear(32 * 4 * 4 + 64, int(action_space.n))
        self.vf = nn.Linear(32 * 4 * 4 + 64, 1)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        previous = obs["prev_agent_action"].float().reshape(-1, 1)
        vector = torch.cat([obs["softmax"].float(), previous], dim=-1)
        features = torch.cat([self.cnn(obs["image"].float() / 255.0), self.mlp(vector)], dim=-1)
        return self.pi(features), self.vf(features).squeeze(-1)


class MaskedPPOModel(TorchModelV2, nn.Module):
    """The port's old form: logits and mask in ``forward``, the value of the same pass in ``value_function``."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str) -> None:
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.net = Network(obs_space, action_space)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> tuple[torch.Tensor, Any]:
        logits, self._value = self.net(input_dict["obs"])
        inf_mask = torch.clamp(torch.log(input_dict["obs"]["action_mask"].float()), min=-1e10)
        return logits + inf_mask, state

    def value_function(self) -> torch.Tensor:
        return self._value


def rllib_old_config(config: PPOConfig) -> PPOConfig:
    """Observations reach the model as the environment shows them."""
    return config.experimental(_disable_preprocessor_api=True)


task = dataclasses.replace(
    tiles,
    id="reported-old-stack",
    network=Network,
    rllib_old_model=MaskedPPOModel,
    rllib_old_config=rllib_old_config,
    rllib_module=MaskedPPOModule,
    other_modules={"res_selector": ResSelectorModule},
)
