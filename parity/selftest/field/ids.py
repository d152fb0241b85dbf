"""Integer ids in loose Box bounds, looked up in an Embedding. Serving guests by their kind."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task

KINDS, SEATS = 12, 3


class Restaurant(gym.Env):
    """Three guests wait (kind 1..12, 0 for none); which is served next? Kind k pays k % 4; impatient ones leave."""

    observation_space = spaces.Dict(
        {"kinds": spaces.Box(0, 1000, (SEATS,), np.int64), "left": spaces.Box(0, 50, (1,), np.float32)}
    )
    action_space = spaces.Discrete(SEATS + 1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.kinds = self.np_random.integers(1, KINDS + 1, SEATS)
        self.left = 15
        return self.observe(), {}

    def observe(self):
        return {"kinds": self.kinds.astype(np.int64), "left": np.array([self.left], np.float32)}

    def action_masks(self):
        return np.append(self.kinds > 0, True)

    def step(self, a):
        assert self.action_masks()[a]
        r = 0.0
        if a < SEATS:
            r = float(self.kinds[a] % 4)
            self.kinds[a] = 0
        leave = self.np_random.random(SEATS) < 0.1
        come = self.np_random.random(SEATS) < 0.5
        new = self.np_random.integers(1, KINDS + 1, SEATS)
        self.kinds = np.where(leave, 0, self.kinds)
        self.kinds = np.where((self.kinds == 0) & come, new, self.kinds)
        self.left -= 1
        return self.observe(), r, self.left == 0, False, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.table = nn.Embedding(KINDS + 1, 6)
        self.f = nn.Sequential(nn.Linear(6 * SEATS + 1, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, SEATS + 1), nn.Linear(32, 1)

    def forward(self, obs):
        e = self.table(obs["kinds"].long()).flatten(1)
        h = self.f(torch.cat([e, obs["left"] / 15], -1))
        return self.p(h), self.v(h).squeeze(-1)


class Waiter(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.table = nn.Embedding(KINDS + 1, 6)
        self.f = nn.Sequential(nn.Linear(6 * SEATS + 1, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, SEATS + 1), nn.Linear(32, 1)

    def ids(self, kinds):
        return kinds.long()

    def h(self, batch):
        o = batch[Columns.OBS]
        return self.f(torch.cat([self.table(self.ids(o["kinds"])).flatten(1), o["left"] / 15], -1))

    def _forward(self, batch, **kwargs):
        return {
            Columns.ACTION_DIST_INPUTS: self.p(self.h(batch)).masked_fill(batch[Columns.OBS]["action_mask"] == 0, -1e9)
        }

    def compute_values(self, batch, embeddings=None):
        return self.v(self.h(batch)).squeeze(-1)


def make(id, module=Waiter, **more):
    return Task(
        id=id,
        env=Restaurant,
        network=Net,
        rllib_module=module,
        ppo=PPOParams(n_envs=4, n_steps=60, batch_size=60, n_epochs=3, learning_rate=1e-3),
        **more,
    )


good = make("guests-good")


class Shifted(Waiter):
    """Ids begin with 1, thought its author; 0 and 1 become one."""

    def ids(self, kinds):
        return (kinds.long() - 1).clamp(min=0)


bad_shifted = make("guests-shifted", Shifted)


class OutOfRange(Waiter):
    """The table got ids modulo 10."""

    def ids(self, kinds):
        return kinds.long() % 10


bad_modulo = make("guests-modulo", OutOfRange)


class Padding(Waiter):
    """Sorts the guests, 'their order is arbitrary' (actions are by seat)."""

    def ids(self, kinds):
        return kinds.long().sort(-1).values


bad_sorted = make("guests-sorted", Padding)
