"""Environments that themselves observe ``{"observations": …, "action_mask": …}``, RLlib's example of masking.

The same small problem in each: three shelves, one of which is closed; the open one with the most in it pays.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity import PPOParams, Task

SHELVES = 3
STOCK = spaces.Box(-6, 6, (SHELVES,), np.float32)
OPEN = spaces.Box(0, 1, (SHELVES,), np.int8)


class Shelves(gymnasium.Env):
    """``wrapped``: how the stock is shown under "observations"."""

    wrapped: spaces.Space = STOCK
    beside: ClassVar[dict[str, spaces.Space]] = {}

    def __init__(self) -> None:
        self.observation_space = spaces.Dict({"observations": self.wrapped, "action_mask": OPEN, **self.beside})
        self.action_space = spaces.Discrete(SHELVES)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        assert self.open[action]
        paid = float(self.stock[action] - self.stock[self.open > 0].mean())
        return self._observe(), paid, False, self.steps == 12, {}

    def _observe(self) -> dict[str, Any]:
        self.stock = self.np_random.normal(size=SHELVES).clip(-6, 6).astype(np.float32)
        self.open = np.ones(SHELVES, np.int8)
        self.open[self.np_random.integers(SHELVES)] = 0
        self.aisle = int(self.np_random.integers(4))
        return {"observations": self._shown(), "action_mask": self.open, **self._beside()}

    def _shown(self) -> Any:
        return self.stock

    def _beside(self) -> dict[str, Any]:
        return {}


class NumberedAisle(Shelves):
    """A number alone stands under "observations"."""

    wrapped = spaces.Discrete(4)

    def _shown(self) -> int:
        return self.aisle


class Nested(Shelves):
    """A Dict under "observations", a Tuple in it."""

    wrapped = spaces.Dict({"aisle": spaces.Discrete(4), "halves": spaces.Tuple((STOCK, spaces.MultiBinary(2)))})

    def _shown(self) -> Any:
        return {"aisle": self.aisle, "halves": (self.stock, np.array([self.aisle & 1, self.aisle >> 1], np.int8))}


class Beside(Shelves):
    """A Tuple beside "observations"."""

    beside: ClassVar[dict[str, spaces.Space]] = {
        "place": spaces.Tuple((spaces.Discrete(4), spaces.Box(-1, 1, (2,), np.float32)))
    }

    def _beside(self) -> dict[str, Any]:
        return {"place": (self.aisle, np.array([self.aisle / 4, 0.5], np.float32))}


def features(obs: Any) -> torch.Tensor:
    """Every entry of an observation, side by side; whole numbers in units of their own."""
    if isinstance(obs, dict):
        return torch.cat([features(obs[name]) for name in sorted(obs) if name != "action_mask"], -1)
    if isinstance(obs, tuple):
        return torch.cat([features(part) for part in obs], -1)
    return obs.reshape(len(obs), -1).float()


class Network(nn.Module):
    """It fails where the observation is not a Dict with "observations", which is what the contract promises."""

    def __init__(self, observation_space: spaces.Dict, action_space: spaces.Discrete) -> None:
        super().__init__()
        assert "observations" in observation_space.spaces
        size = sum(int(np.prod(part.shape or (1,))) for part in _leaves(observation_space))
        self.trunk = nn.Sequential(nn.Linear(size, 16), nn.Tanh())
        self.policy, self.value = nn.Linear(16, int(action_space.n)), nn.Linear(16, 1)

    def forward(self, obs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        assert "action_mask" not in obs
        hidden = self.trunk(features({"observations": obs["observations"], **obs}))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


def _leaves(space: Any) -> list[Any]:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
    return [leaf for part in parts for leaf in (_leaves(part) if hasattr(part, "spaces") else [part])]


class Module(TorchRLModule, ValueFunctionAPI):
    """The port's own: it reads the observation and the mask where RLlib's example has them."""

    def setup(self) -> None:
        rest = {name: part for name, part in self.observation_space.spaces.items() if name != "action_mask"}
        self.network = Network(spaces.Dict(rest), self.action_space)

    def _outputs(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network({k: v for k, v in batch[Columns.OBS].items() if k != "action_mask"})

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        legal = batch[Columns.OBS]["action_mask"] > 0
        return {Columns.ACTION_DIST_INPUTS: torch.where(legal, self._outputs(batch)[0], -1e8)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self._outputs(batch)[1]


def task(env: type[gymnasium.Env], module: type | None = None) -> Task:
    name = f"{env.__name__}-{'brought' if module else 'bare'}".lower()
    ppo = PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2)
    return Task(
        id=name, env=env, network=Network, rllib_module=module, ppo=ppo, steps=512, eval_every=256, eval_episodes=4
    )
