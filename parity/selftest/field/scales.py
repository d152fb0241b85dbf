"""Observations of large (400 +- 100), tiny (1e-4) and double-precision scale. Tapping a furnace."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task


class Furnace(gym.Env):
    """Four zones of about 400 degrees: heat one zone, wait, or tap. Zones too hot must not be heated."""

    action_space = spaces.Discrete(6)
    factor, dtype = 1.0, np.float32

    def __init__(self):
        self.observation_space = spaces.Dict({"zones": spaces.Box(-np.inf, np.inf, (4,), self.dtype)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.zones, self.t = self.np_random.normal(400, 100, 4), 0
        return self.observe(), {}

    def observe(self):
        return {"zones": (self.zones * self.factor).astype(self.dtype)}

    def action_masks(self):
        return np.concatenate([self.zones < 500, [True], [self.zones.min() > 300]])

    def step(self, a):
        assert self.action_masks()[a]
        self.t += 1
        r = -0.1
        if a < 4:
            self.zones[a] += 60
        if a == 5:
            r = 1.0 - float(self.zones.std()) / 100
        self.zones += self.np_random.normal(-5, 10, 4)
        return self.observe(), r, a == 5, self.t >= 15 and a != 5, {}


class Tiny(Furnace):
    """The same in some unit in which 400 degrees are 4e-4."""

    factor = 1e-6


class Double(Furnace):
    dtype = np.float64


class Tapped(nn.Module):
    def __init__(self, observation_space, action_space, act=nn.ReLU, shift=0.0, scale=1.0):
        super().__init__()
        self.shift, self.scale = shift, scale
        self.f = nn.Sequential(nn.Linear(4, 32), act(), nn.Linear(32, 32), act())
        self.p, self.v = nn.Linear(32, 6), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.f((obs["zones"] - self.shift) / self.scale)
        return self.p(h), self.v(h).squeeze(-1)


def raw_net(o, a):
    return Tapped(o, a)


def scaled_net(o, a):
    return Tapped(o, a, nn.Tanh, 400.0, 100.0)


def tiny_net(o, a):
    return Tapped(o, a, nn.Tanh)


def module(act=nn.ReLU, shift=0.0, scale=1.0, cast=None):
    class Smelter(TorchRLModule, ValueFunctionAPI):
        def setup(self):
            self.f = nn.Sequential(nn.Linear(4, 32), act(), nn.Linear(32, 32), act())
            self.p, self.v = nn.Linear(32, 6), nn.Linear(32, 1)

        def h(self, batch):
            x = batch[Columns.OBS]["zones"].float()
            if cast is not None:
                x = cast(x)
            return self.f((x - shift) / scale)

        def _forward(self, batch, **kwargs):
            mask = batch[Columns.OBS]["action_mask"]
            return {Columns.ACTION_DIST_INPUTS: self.p(self.h(batch)).masked_fill(mask == 0, -1e9)}

        def compute_values(self, batch, embeddings=None):
            return self.v(self.h(batch)).squeeze(-1)

    return Smelter


def make(id, network, module, env=Furnace, **more):
    return Task(
        id=id,
        env=env,
        network=network,
        rllib_module=module,
        ppo=PPOParams(n_envs=4, n_steps=48, batch_size=48, n_epochs=3, learning_rate=3e-4),
        **more,
    )


good_raw = make("furnace-raw", raw_net, module())
good_scaled = make("furnace-scaled", scaled_net, module(nn.Tanh, 400.0, 100.0))
good_tiny = make("furnace-tiny", tiny_net, module(nn.Tanh), Tiny)
good_double = make("furnace-double", scaled_net, module(nn.Tanh, 400.0, 100.0), Double)

bad_elu = make("furnace-elu", raw_net, module(nn.ELU))
bad_leaky = make("furnace-leaky", raw_net, module(nn.LeakyReLU))
bad_not_normalised = make("furnace-not-normalised", scaled_net, module(nn.Tanh))
bad_shift_only = make("furnace-scale-only", scaled_net, module(nn.Tanh, 0.0, 100.0))
bad_half = make("furnace-half", scaled_net, module(nn.Tanh, 400.0, 100.0, lambda x: x.half().float()))
bad_byte = make("furnace-byte", scaled_net, module(nn.Tanh, 400.0, 100.0, lambda x: x.byte().float()))
bad_tiny_rounded = make(
    "furnace-tiny-rounded", tiny_net, module(nn.Tanh, cast=lambda x: torch.round(x * 1e4) / 1e4), Tiny
)
bad_gelu_tiny = make("furnace-tiny-hardtanh", tiny_net, module(nn.Hardtanh), Tiny)
