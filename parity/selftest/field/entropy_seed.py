"""Environments that do not follow their seed."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Repeatable, Task


class Cards(gym.Env):
    """Higher or lower than the card shown; a card of value 0 allows higher alone, of value 9 lower alone."""

    observation_space = spaces.Dict(
        {"card": spaces.Box(0, 1, (10,), np.float32), "action_mask": spaces.Box(0, 1, (2,), np.int8)}
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.card, self.t = int(self.rng.integers(10)), 0
        return self.observe(), {}

    def observe(self):
        return {
            "card": np.eye(10, dtype=np.float32)[self.card],
            "action_mask": np.array([self.card < 9, self.card > 0], np.int8),
        }

    def step(self, a):
        assert self.observe()["action_mask"][a]
        new = int(self.rng.integers(10))
        r = 1.0 if (new > self.card) == (a == 0) and new != self.card else -1.0
        self.card = new
        self.t += 1
        return self.observe(), r, self.t == 10, False, {}


class GlobalCards(Cards):
    """Draws from NumPy's global generator."""

    def reset(self, *, seed=None, options=None):
        self.rng = type("G", (), {"integers": staticmethod(lambda n: np.random.randint(n))})
        self.card, self.t = int(self.rng.integers(10)), 0
        return self.observe(), {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(10, 16), nn.Tanh())
        self.p, self.v = nn.Linear(16, 2), nn.Linear(16, 1)

    def forward(self, obs):
        h = self.f(obs["card"])
        return self.p(h), self.v(h).squeeze(-1)


class Gambler(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.f = nn.Sequential(nn.Linear(10, 16), nn.Tanh())
        self.p, self.v = nn.Linear(16, 2), nn.Linear(16, 1)

    def _forward(self, batch, **kwargs):
        o = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.f(o["card"])).masked_fill(o["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.f(batch[Columns.OBS]["card"])).squeeze(-1)


def make(id, env):
    return Task(
        id=id,
        env=env,
        network=Net,
        rllib_module=Gambler,
        ppo=PPOParams(n_envs=4, n_steps=60, batch_size=60, n_epochs=3, learning_rate=1e-3),
    )


entropy_reset = make("cards-entropy", Cards)
global_rng = make("cards-global", GlobalCards)
good_repeatable = make("cards-repeatable", lambda: Repeatable(GlobalCards()))
