"""The mask lies under "legal" in a brought MultiAgentEnv, and the module reads it there. A water tank with three valves."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import PPOParams, Task


class Tank(gym.Env):
    observation_space = spaces.Dict(
        {"level": spaces.Box(-1, 2, (3,), np.float32), "legal": spaces.Box(0, 1, (4,), np.int8)}
    )
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.level, self.goal = float(self.np_random.uniform(0.2, 0.8)), float(self.np_random.uniform(0.2, 0.8))
        self.inflow, self.t = 0.05, 0
        return self.observe(), {}

    def action_masks(self):
        return np.array([True, self.level > 0.1, self.level > 0.3, self.level < 0.9])

    def observe(self):
        return {
            "level": np.array([self.level, self.goal, self.inflow], np.float32),
            "legal": self.action_masks().astype(np.int8),
        }

    def step(self, action):
        assert self.action_masks()[action]
        self.level += self.inflow - [0, 0.1, 0.25, -0.1][int(action)]
        self.level = float(np.clip(self.level, 0, 1))
        self.inflow = float(np.clip(self.inflow + self.np_random.normal(0, 0.02), 0, 0.1))
        self.t += 1
        return self.observe(), 1 - 4 * abs(self.level - self.goal), self.t >= 20, False, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU())
        self.a = nn.Linear(24, 4)
        self.v = nn.Linear(24, 1)

    def forward(self, obs):
        h = self.body(obs["level"])
        return self.a(h), self.v(h).squeeze(-1)


class Plant(MultiAgentEnv):
    def __init__(self, config=None):
        super().__init__()
        self.env = Tank()
        self.agents = self.possible_agents = ["valve"]
        self.observation_spaces = {"valve": self.env.observation_space}
        self.action_spaces = {"valve": self.env.action_space}

    def reset(self, *, seed=None, options=None):
        o, i = self.env.reset(seed=seed, options=options)
        return {"valve": o}, {"valve": i}

    def step(self, actions):
        o, r, term, trunc, i = self.env.step(actions["valve"])
        return {"valve": o}, {"valve": r}, {"valve": term, "__all__": term}, {"__all__": trunc}, {"valve": i}


class Valve(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.body = nn.Sequential(nn.Linear(3, 24), nn.SiLU(), nn.Linear(24, 24), nn.SiLU())
        self.a = nn.Linear(24, 4)
        self.v = nn.Linear(24, 1)

    def legal(self, obs):
        return obs["legal"]

    def _forward(self, batch, **kwargs):
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.a(self.body(obs["level"])).masked_fill(self.legal(obs) == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.body(batch[Columns.OBS]["level"])).squeeze(-1)


def make(id, env=Plant, module=Valve, **more):
    return Task(
        id=id,
        env=Tank,
        network=Net,
        multi_agent_env=env,
        rllib_module=module,
        mask="obs:legal",
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=1e-3, gamma=0.97),
        **more,
    )


good = make("tank-legal")


class RenamedPlant(Plant):
    """Renames the mask to action_mask for the module's sake."""

    def __init__(self, config=None):
        super().__init__(config)
        s = self.env.observation_space
        self.observation_spaces = {"valve": spaces.Dict({"level": s["level"], "action_mask": s["legal"]})}

    @staticmethod
    def rename(o):
        return {"valve": {"level": o["valve"]["level"], "action_mask": o["valve"]["legal"]}}

    def reset(self, **kwargs):
        o, i = super().reset(**kwargs)
        return self.rename(o), i

    def step(self, actions):
        o, *rest = super().step(actions)
        return (self.rename(o), *rest)


class RenamedValve(Valve):
    def legal(self, obs):
        return obs["action_mask"]


good_renamed = make("tank-renamed", RenamedPlant, RenamedValve)


class Overfull(Plant):
    """The port's mask still has the old threshold of the fourth valve."""

    def step(self, actions):
        o, *rest = super().step(actions)
        o["valve"]["legal"][3] = self.env.level < 0.7
        return (o, *rest)


bad_threshold = make("tank-threshold", Overfull)


class Late(Plant):
    """Sensors answer one step late in the port."""

    def reset(self, **kwargs):
        o, i = super().reset(**kwargs)
        self.last = o["valve"]["level"]
        return o, i

    def step(self, actions):
        o, *rest = super().step(actions)
        now = o["valve"]["level"]
        o["valve"]["level"], self.last = self.last, now
        return (o, *rest)


bad_stale = make("tank-stale", Late)


class Rolled(Valve):
    """Valves are numbered from the other end in the module's mask."""

    def legal(self, obs):
        return obs["legal"].flip(-1)


bad_flipped_mask = make("tank-flipped", module=Rolled)
bad_gamma = make("tank-gamma", RenamedPlant, RenamedValve, rllib_config=lambda c: c.training(gamma=0.99))


class Scaled(Plant):
    """Episodes of the port go on to 25 steps."""

    def step(self, actions):
        o, r, term, trunc, i = super().step(actions)
        end = self.env.t >= 25
        return o, r, {"valve": end, "__all__": end}, trunc, i


bad_longer = make("tank-longer", Scaled)
