"""A network one of whose units lies on its kink wherever an episode begins: float noise decides whether it learns there.

It is as correct in any order of its sums, and the gradient of two correct ones differs. Small mistakes must show beside that.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity.task import Task
from parity.testing.toy_envs import Maze, maze_task

OPTIONS, WIDTH = 4, 24


class OnItsKink(nn.Module):
    """``positive`` and ``negative`` begin with the same weights, so that their difference is 0 but for noise."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, WIDTH)
        self.positive, self.negative = nn.Linear(WIDTH, 1, bias=False), nn.Linear(WIDTH, 1, bias=False)
        self.negative.load_state_dict(self.positive.state_dict())
        self.policy, self.value = nn.Linear(WIDTH, OPTIONS), nn.Linear(WIDTH, 1)

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.hidden(obs["state"]))
        later = (obs["state"][:, 1:2] > 0).float()
        unit = torch.relu(self.positive(features) - self.subtracted(features) - later)
        return self.policy(features), (self.value(features) + 0.1 * unit).squeeze(-1)

    def subtracted(self, features: torch.Tensor) -> torch.Tensor:
        return self.negative(features)


class InAnotherOrder(OnItsKink):
    """The same sum, term by term from behind."""

    def subtracted(self, features: torch.Tensor) -> torch.Tensor:
        terms = features * self.negative.weight[0]
        total = torch.zeros_like(terms[:, :1])
        for i in reversed(range(WIDTH)):
            total = total + terms[:, i : i + 1]
        return total


class Module(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.net = InAnotherOrder()

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch["obs"]
        return {"action_dist_inputs": torch.where(obs["action_mask"] > 0, self.net(obs)[0], -1e8)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.net(batch["obs"])[1]


class GrowingRate(PPOTorchLearner):
    """Planted: the learning rate grows by a hundredth after the first step of an update, and is back at its end."""

    def apply_gradients(self, gradients: Any) -> None:
        groups = [group for _, each in self.get_optimizers_for_module("agent") for group in each.param_groups]
        super().apply_gradients(gradients)
        self.steps = getattr(self, "steps", 0) + 1
        for group in groups:
            group["lr"] = 1e-3 * (1.01 if self.steps % 12 else 1.0)


class Decaying(PPOTorchLearner):
    """Planted: every step but the first also shrinks all weights by 1 in 50,000, AdamW's usual decay and a little."""

    def apply_gradients(self, gradients: Any) -> None:
        super().apply_gradients(gradients)
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps > 1:
            with torch.no_grad():
                for parameter in self.module["agent"].unwrapped().parameters():
                    parameter.mul_(1 - 2e-5)


def task(learner: type[PPOTorchLearner] | None = None) -> Task:
    def configured(config: Any) -> Any:
        return config if learner is None else config.learners().training(learner_class=learner)

    return maze_task(env=partial(Maze, "obs"), network=OnItsKink, rllib_module=Module, rllib_config=configured)
