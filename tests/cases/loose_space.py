"""An environment whose space allows far more than it shows: word ids and numbers in one Box with the widest bounds of all.

A recipe of four slots: the first holds measures, the others an ingredient's id (0 to 5, an Embedding's) and its measures. One
flag never changes in a short rollout.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity import PPOParams, Task

SLOTS, WIDTH, IDS, ACTIONS = 4, 3, 6, 5


class Recipe(gymnasium.Env):
    observation_space = spaces.Dict(
        {
            "slots": spaces.Box(-100, 5000, (SLOTS, WIDTH), np.float32),
            "open_late": spaces.Box(0, 1, (1,), np.float32),
            "action_mask": spaces.Box(0, 1, (ACTIONS,), np.int8),
        }
    )
    action_space = spaces.Discrete(ACTIONS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        paid = float(self.slots[0, action % WIDTH])
        return self._observe(), paid, self.steps == 10, False, {}

    def _observe(self) -> dict[str, Any]:
        self.slots = self.np_random.normal(size=(SLOTS, WIDTH)).astype(np.float32)
        self.slots[1:, 0] = self.np_random.integers(IDS, size=SLOTS - 1)
        mask = np.ones(ACTIONS, np.int8)
        mask[self.np_random.choice(ACTIONS, 2, replace=False)] = 0
        return {"slots": self.slots, "open_late": np.zeros(1, np.float32), "action_mask": mask}


class Network(nn.Module):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self.ids = nn.Embedding(IDS, 4)
        self.trunk = nn.Sequential(nn.Linear((SLOTS - 1) * 4 + SLOTS * WIDTH + 1, 32), nn.Tanh())
        self.policy, self.value = nn.Linear(32, ACTIONS), nn.Linear(32, 1)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        words = self.ids(obs["slots"][:, 1:, 0].long())
        hidden = self.trunk(torch.cat([words.flatten(1), obs["slots"].flatten(1), obs["open_late"]], -1))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


class Module(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.network = Network(self.observation_space, self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: torch.where(obs["action_mask"] > 0, self._seen(obs)[0], -1e8)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self._seen(batch[Columns.OBS])[1]

    def _seen(self, obs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(obs)


class WithoutTheFlag(Module):
    """The mistake: an entry is left out that is 0 throughout a short rollout."""

    def _seen(self, obs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network({**obs, "open_late": torch.zeros_like(obs["open_late"])})


def task(module: type | None) -> Task:
    ppo = PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2)
    return Task(id="recipe", env=Recipe, network=Network, rllib_module=module, ppo=ppo)
