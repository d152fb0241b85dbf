"""Switches on and off together: MultiBinary with a mask of [off, on] for each switch."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task

N = 4


class Heaters(gym.Env):
    observation_space = spaces.Box(-2, 2, (2 * N,), np.float32)
    action_space = spaces.MultiBinary(N)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.temp = self.np_random.uniform(-1, 1, N).astype(np.float32)
        self.broken = np.zeros(N, bool)
        self.t = 0
        return self.observe(), {}

    def observe(self):
        return np.concatenate([self.temp, self.broken]).astype(np.float32)

    def action_masks(self):
        on = ~self.broken
        off = np.ones(N, bool)
        return np.stack([off, on], 1).ravel()

    def step(self, action):
        action = np.asarray(action).astype(bool)
        assert not (action & self.broken).any()
        self.temp = np.clip(self.temp + np.where(action, 0.3, -0.2) + self.np_random.normal(0, 0.05, N), -2, 2).astype(
            np.float32
        )
        self.broken = self.np_random.random(N) < 0.2
        self.t += 1
        return self.observe(), float(1 - np.abs(self.temp).mean()), False, self.t >= 24, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.h = nn.Sequential(nn.Linear(2 * N, 32), nn.Tanh())
        self.out = nn.Linear(32, 2 * N)
        self.v = nn.Linear(32, 1)

    def forward(self, obs):
        h = self.h(obs)
        return self.out(h), self.v(h).squeeze(-1)


class Switch(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.h = nn.Sequential(nn.Linear(2 * N, 32), nn.Tanh())
        self.out = nn.Linear(32, 2 * N)
        self.v = nn.Linear(32, 1)
        self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=[2] * N)

    def mask(self, m):
        return m > 0

    def _forward(self, batch, **kwargs):
        obs = batch[Columns.OBS]
        logits = self.out(self.h(obs["observations"]))
        return {Columns.ACTION_DIST_INPUTS: torch.where(self.mask(obs["action_mask"]), logits, -1e8)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.h(batch[Columns.OBS]["observations"])).squeeze(-1)


def make(id, module=Switch, **more):
    return Task(
        id=id,
        env=Heaters,
        network=Net,
        rllib_module=module,
        ppo=PPOParams(n_envs=2, n_steps=96, batch_size=48, n_epochs=3, learning_rate=1e-3),
        **more,
    )


good = make("heaters-good")
good_reference = make("heaters-reference", None)


class OnOff(Switch):
    """The module believes that the mask holds [on, off]."""

    def mask(self, m):
        return m.view(-1, N, 2).flip(-1).flatten(1) > 0


bad_on_off = make("heaters-on-off", OnOff)


class AllOffFirst(Switch):
    """The module believes that the mask holds all offs, then all ons."""

    def mask(self, m):
        return m.view(-1, 2, N).transpose(1, 2).flatten(1) > 0


bad_layout = make("heaters-layout", AllOffFirst)
