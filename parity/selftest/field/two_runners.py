"""Two env runners in processes of their own (and one local); weights must reach them."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task


class Ladder(gym.Env):
    """Climb, rest or slide; who climbs with little strength may fall."""

    observation_space = spaces.Dict(
        {"state": spaces.Box(0, 1, (3,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)}
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.h, self.s, self.t = 0, float(self.np_random.uniform(0.3, 1)), 0
        return self.observe(), {}

    def observe(self):
        return {
            "state": np.array([self.h / 8, self.s, self.t / 30], np.float32),
            "action_mask": np.array([self.s > 0.1, True, self.h > 1], np.int8),
        }

    def step(self, a):
        assert self.observe()["action_mask"][a]
        self.t += 1
        r = -0.01
        if a == 0:
            self.s -= 0.1
            self.h += 1
            if self.np_random.random() > self.s + 0.4:
                self.h = 0
        elif a == 1:
            self.s = min(1.0, self.s + 0.2)
        else:
            self.h -= 2
            self.s = min(1.0, self.s + 0.05)
        won = self.h >= 8
        return self.observe(), r + float(won), won, self.t >= 30 and not won, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(3, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.f(obs["state"])
        return self.p(h), self.v(h).squeeze(-1)


class Climber(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.f = nn.Sequential(nn.Linear(3, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def _forward(self, batch, **kwargs):
        o = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.f(o["state"])).masked_fill(o["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.f(batch[Columns.OBS]["state"])).squeeze(-1)


def two(config):
    """As many sub-environments in all as SB3 has: two runners of two."""
    return config.env_runners(num_env_runners=2, num_envs_per_env_runner=2)


def make(id, config=two, module=Climber, **more):
    return Task(
        id=id,
        env=Ladder,
        network=Net,
        rllib_module=module,
        rllib_config=config,
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=3, learning_rate=1e-3),
        **more,
    )


def one_env_each(config):
    return config.env_runners(num_env_runners=4, num_envs_per_env_runner=1)


good = make("ladder-two")
good_local = make("ladder-local", None)
good_four = make("ladder-four", one_env_each)


def four_each(config):
    """num_envs_per_env_runner stays 4: 8 sub-environments, and fragments half as long."""
    return config.env_runners(num_env_runners=2)


bad_more_envs = make("ladder-more-envs", four_each)


class ForgetsValue(Climber):
    """Heads are made at the first call: state is stored without them."""

    def get_state(self, *args, **kwargs):
        return {k: v for k, v in super().get_state(*args, **kwargs).items() if not k.startswith("p.")}

    def set_state(self, state):
        self.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()}, strict=False)


bad_head_not_synced = make("ladder-not-synced", module=ForgetsValue)


class LazyPPO(PPO):
    """Syncs weights every fifth iteration, for speed."""

    def training_step(self):
        self.n = getattr(self, "n", 0) + 1
        group = self.env_runner_group
        sync = group.sync_weights
        if self.n % 5:
            group.sync_weights = lambda *a, **k: None
        try:
            return super().training_step()
        finally:
            group.sync_weights = sync


def lazy(config):
    config.algo_class = LazyPPO
    return two(config)


bad_lazy_sync = make("ladder-lazy-sync", lazy)


class PlainList(Climber):
    """Layers in a list: not found by parameters()."""

    def setup(self):
        self.fs = [nn.Linear(3, 32), nn.Tanh()]
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def f(self, x):
        for layer in self.fs:
            x = layer(x)
        return x


bad_plain_list = make("ladder-plain-list", module=PlainList)
