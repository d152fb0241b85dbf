"""Training scripts as people have them: a ``PPOConfig``, an environment and modules, no task file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn


class Tiles(MultiAgentEnv):
    """Eight steps; the tile that is shown pays, tiles that were taken are illegal. A second agent has one action."""

    SIZE = 8

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        n = self.SIZE
        self.possible_agents = self.agents = ["selector", "echo"]
        self.observation_spaces = {
            "selector": spaces.Dict(
                {"shown": spaces.Box(0, 1, (n,), np.float32), "action_mask": spaces.Box(0, 1, (n,), np.int8)}
            ),
            "echo": spaces.Box(0, 1, (1,), np.float32),
        }
        self.action_spaces = {"selector": spaces.Discrete(n), "echo": spaces.Discrete(1)}
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.free = np.ones(self.SIZE, dtype=np.int8)
        return self._observations(), {}

    def step(self, actions: Any) -> Any:
        action = int(actions["selector"])
        reward = float(action == self.best)
        self.free[action] = 0
        done = not self.free[1:].any() or self.free.sum() <= 2
        rewards = {"selector": reward, "echo": reward}
        return self._observations(), rewards, {"__all__": bool(done)}, {"__all__": False}, {}

    def _observations(self) -> dict[str, Any]:
        shown = self.rng.random(self.SIZE, dtype=np.float32)
        self.best = int(np.argmax(np.where(self.free, shown, -1)))
        return {
            "selector": {"shown": shown, "action_mask": self.free.copy()},
            "echo": np.zeros(1, dtype=np.float32),
        }


class Broken(TorchRLModule):
    """As it was reported: a method called compute_values, no ValueFunctionAPI, and zeros where the loss looks."""

    def setup(self) -> None:
        self.trunk = nn.Sequential(nn.Linear(self.observation_space["shown"].shape[0], 32), nn.Tanh())
        self.pi = nn.Linear(32, int(self.action_space.n))
        self.vf = nn.Linear(32, 1)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(self.trunk(obs["shown"]))
        zeros = torch.zeros(len(logits))
        masked = logits + torch.clamp(torch.log(obs["action_mask"].float()), min=-1e10)
        return {Columns.ACTION_DIST_INPUTS: masked, Columns.ADVANTAGES: zeros, Columns.VALUE_TARGETS: zeros}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.trunk(batch[Columns.OBS]["shown"])).squeeze(-1)


class Mended(Broken, ValueFunctionAPI):
    """The one line."""


class Echo(TorchRLModule):
    def setup(self) -> None:
        self.pi = nn.Linear(1, 1)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(batch[Columns.OBS])}


def tiles_config(module: type = Mended, env: type = Tiles, **training: Any) -> PPOConfig:
    return (
        PPOConfig()
        .environment(env)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2)
        .multi_agent(
            policies={"selector", "echo"},
            policy_mapping_fn=lambda agent_id, episode, **kwargs: agent_id,
            policies_to_train=["selector"],
        )
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={"selector": RLModuleSpec(module), "echo": RLModuleSpec(Echo)}
            )
        )
        .training(
            **(
                {
                    "train_batch_size_per_learner": 256,
                    "minibatch_size": 64,
                    "num_epochs": 2,
                    "lr": 3e-3,
                    "lambda_": 0.95,
                }
                | training
            )
        )
        .debugging(seed=0)
    )
