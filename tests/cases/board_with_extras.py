"""A masked board game whose modules give more than logits: RLlib takes some of it and ignores the rest."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from parity import PPOParams, Task

SIZE = 9


class Fill(gymnasium.Env):
    """Fields of a line are taken one by one; a field beside a taken one pays."""

    observation_space = spaces.Dict(
        {"taken": spaces.Box(0, 1, (SIZE,), np.float32), "action_mask": spaces.Box(0, 1, (SIZE,), np.int8)}
    )
    action_space = spaces.Discrete(SIZE)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.taken = np.zeros(SIZE, np.float32)
        self.taken[self.np_random.integers(SIZE)] = 1
        return self._observation(), {}

    def _observation(self) -> Any:
        return {"taken": self.taken.copy(), "action_mask": (self.taken == 0).astype(np.int8)}

    def step(self, action: Any) -> Any:
        beside = self.taken[[max(action - 1, 0), min(action + 1, SIZE - 1)]].max()
        self.taken[action] = 1
        return self._observation(), float(beside), bool(self.taken.sum() >= 6), False, {}


class Parts(torch.nn.Module):
    def build(self) -> None:
        self.trunk = torch.nn.Sequential(torch.nn.Linear(SIZE, 32), torch.nn.Tanh())
        self.head, self.critic = torch.nn.Linear(32, SIZE), torch.nn.Linear(32, 1)


class Network(Parts):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self.build()

    def forward(self, obs: Any) -> Any:
        features = self.trunk(obs["taken"])
        return self.head(features), self.critic(features).squeeze(-1)


class Plain(TorchRLModule, ValueFunctionAPI, Parts):
    def setup(self) -> None:
        self.build()

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        logits = self.head(self.trunk(batch["obs"]["taken"]))
        return {Columns.ACTION_DIST_INPUTS: torch.where(batch["obs"]["action_mask"] > 0, logits, -1e9)}

    def compute_values(self, batch: Any, embeddings: Any = None) -> Any:
        return self.critic(self.trunk(batch["obs"]["taken"])).squeeze(-1)


class OtherSample(Plain):
    """Gives an action, and the log-probability of another one."""

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        out = super()._forward(batch)
        policy = torch.distributions.Categorical(logits=out[Columns.ACTION_DIST_INPUTS])
        return out | {Columns.ACTIONS: policy.sample(), Columns.ACTION_LOGP: policy.log_prob(policy.sample())}


class ValuesToo(Plain):
    """Values with a last dimension, which RLlib reads nowhere: it asks compute_values."""

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        values = self.compute_values(batch).unsqueeze(-1)
        return super()._forward(batch) | {Columns.VF_PREDS: values}


class WrongValuesToo(Plain):
    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        return super()._forward(batch) | {Columns.VF_PREDS: torch.full((len(batch["obs"]["taken"]),), 7.0)}


class Raises(Plain):
    """Stops in a line of its own, with a page of numbers."""

    def _forward_train(self, batch: Any, **kwargs: Any) -> Any:
        raise ValueError(f"cannot use {batch['obs']['taken'].numpy()}")


def task(module: type[Plain]) -> Task:
    return Task(
        id="fill", env=Fill, network=Network, rllib_module=module, ppo=PPOParams(n_envs=4, n_steps=64), steps=2048,
        eval_every=1024, eval_episodes=20,
    )  # fmt: skip
