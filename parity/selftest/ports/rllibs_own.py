"""Good ports whose module is RLlib's own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from parity.selftest.register import good_port
from parity.task import PPOParams, Task


class Choosing(gymnasium.Env):
    """Sixteen steps; each legal action pays the number that is shown for it. The mask comes as ``info["action_mask"]``."""

    observation_space = spaces.Box(-1, 1, (5,), np.float32)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._show()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        reward = float(self.numbers[action])
        observation, info = self._show()
        return observation, reward, self.steps >= 16, False, info

    def _show(self) -> tuple[Any, dict[str, Any]]:
        self.numbers = self.np_random.uniform(-1, 1, 5).astype(np.float32)
        mask = (self.np_random.random(4) < 0.7).astype(np.int8)
        mask[self.np_random.integers(4)] = 1
        return self.numbers, {"action_mask": mask}


class Separate(nn.Module):
    """What RLlib's catalog builds by default: two hidden layers of 256 for the policy, and two for the value."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        size, actions = observation_space.shape[0], int(action_space.n)
        self.policy, self.value = self._hidden(size), self._hidden(size)
        self.logits, self.worth = nn.Linear(256, actions), nn.Linear(256, 1)

    def _hidden(self, size: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(size, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh())

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.logits(self.policy(obs)), self.worth(self.value(obs)).squeeze(-1)


# Both encoders have the same shapes: only names can tell them apart.
LAYERS = {
    "policy.0": "encoder.actor_encoder.net.mlp.0",
    "policy.2": "encoder.actor_encoder.net.mlp.2",
    "value.0": "encoder.critic_encoder.net.mlp.0",
    "value.2": "encoder.critic_encoder.net.mlp.2",
    "logits": "pi.net.mlp.0",
    "worth": "vf.net.mlp.0",
}


@good_port("RLlib's own ActionMaskingTorchRLModule, which takes its observations apart in compute_values")
def action_masking_example() -> Task:
    from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule

    return Task(
        id="choosing",
        env=Choosing,
        network=Separate,
        ppo=PPOParams(n_envs=4, n_steps=64),
        rllib_module=ActionMaskingTorchRLModule,
        parameter_map={
            f"network.{ours}.{part}": f"{theirs}.{part}"
            for ours, theirs in LAYERS.items()
            for part in ("weight", "bias")
        },
    )
