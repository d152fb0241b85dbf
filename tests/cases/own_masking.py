"""A port that masks by itself: the mask is the last part of a flat observation, and a distribution class applies it."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchCategorical, TorchDeterministic
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity import PPOParams, Task

GOODS, LEFT, ACTIONS = 4, 3, 4


class Shelf(gymnasium.Env):
    """One sells what is left; the observation is prices, numbers left, and which may be sold."""

    observation_space = spaces.Box(0, LEFT, (3 * GOODS,), np.float32)
    action_space = spaces.Discrete(ACTIONS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left, self.steps = self.np_random.integers(LEFT, size=GOODS), 0
        self.left[self.np_random.integers(GOODS)] = LEFT
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.left[action] -= 1
        self.steps += 1
        paid = float(self.prices[action])
        sold_out = not self.left.any()
        if sold_out:
            self.left[0] = 1  # some action is legal in every state
        return self._observe(), paid, sold_out, self.steps == 6, {}

    def action_masks(self) -> np.ndarray:
        return self.left > 0

    def _observe(self) -> np.ndarray:
        self.prices = self.np_random.uniform(size=GOODS)
        return np.concatenate([self.prices, self.left, self.action_masks()]).astype(np.float32)


class Network(nn.Module):
    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2 * GOODS, 24), nn.Tanh())
        self.policy, self.value = nn.Linear(24, ACTIONS), nn.Linear(24, 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(obs[:, : 2 * GOODS])
        return self.policy(hidden), self.value(hidden).squeeze(-1)


class Masked(TorchCategorical):
    """Its inputs are logits and, beside them, the mask."""

    def __init__(self, inputs: torch.Tensor) -> None:
        self.raw, mask = inputs.split(ACTIONS, dim=-1)
        super().__init__(logits=self.raw.masked_fill(mask == 0, -1e9))

    @staticmethod
    def required_input_dim(space: Any, **_: Any) -> int:
        return 2 * int(space.n)

    @classmethod
    def from_logits(cls, logits: torch.Tensor, **_: Any) -> Masked:
        return cls(logits)


class GreedyUnmasked(Masked):
    """The mistake: without exploration the unmasked logits decide."""

    def to_deterministic(self) -> TorchDeterministic:
        return TorchDeterministic(loc=self.raw.argmax(-1))


class Second(Masked):
    """The mistake: without exploration the second best action is played, where there is one."""

    def to_deterministic(self) -> TorchDeterministic:
        second = self._dist.logits.topk(2).indices[:, 1]
        legal = self._dist.probs.gather(-1, second.unsqueeze(-1)).squeeze(-1) > 0
        return TorchDeterministic(loc=torch.where(legal, second, self._dist.probs.argmax(-1)))


class Sharpened(Masked):
    """The mistake: what it draws has other probabilities than it says."""

    def sample(self, **_: Any) -> torch.Tensor:
        return torch.distributions.Categorical(logits=5 * self._dist.logits).sample()


class Module(TorchRLModule, ValueFunctionAPI):
    distribution: ClassVar[type[Masked]] = Masked
    begins: ClassVar[int] = 2 * GOODS

    def setup(self) -> None:
        self.network = Network()

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]["observations"]
        mask = obs[:, self.begins : self.begins + ACTIONS] > 0
        return {Columns.ACTION_DIST_INPUTS: torch.cat([self.network(obs)[0], mask.float()], dim=-1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.network(batch[Columns.OBS]["observations"])[1]

    def get_train_action_dist_cls(self) -> type[Masked]:
        return self.distribution

    get_exploration_action_dist_cls = get_inference_action_dist_cls = get_train_action_dist_cls


class OneColumnOff(Module):
    """The mistake: the mask is taken to begin a column earlier."""

    begins = 2 * GOODS - 1


def task(module: type[Module] = Module, distribution: type[Masked] = Masked) -> Task:
    port = type(module.__name__, (module,), {"distribution": distribution})
    ppo = PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2)
    return Task(id="shelf", env=Shelf, network=Network, rllib_module=port, ppo=ppo)
