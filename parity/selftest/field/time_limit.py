"""Truncation by a time limit; a cart that must stay on its rail for ever."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import PPOParams, Task


class Rail(gym.Env):
    observation_space = spaces.Dict(
        {"x": spaces.Box(-2, 2, (2,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)}
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.dx = float(self.np_random.uniform(-0.5, 0.5)), 0.0
        return self.observe(), {}

    def observe(self):
        return {
            "x": np.array([self.x, self.dx], np.float32).clip(-2, 2),
            "action_mask": np.array([self.dx > -0.2, True, self.dx < 0.2], np.int8),
        }

    def step(self, a):
        assert self.observe()["action_mask"][a]
        self.dx += 0.08 * (int(a) - 1) + float(self.np_random.normal(0, 0.03))
        self.x += self.dx
        off = abs(self.x) > 1
        return self.observe(), 1.0 - abs(self.x), off, False, {}


def make_env():
    return TimeLimit(Rail(), max_episode_steps=20)


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.f(obs["x"])
        return self.p(h), self.v(h).squeeze(-1)


class Cart(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.f = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def _forward(self, batch, **kwargs):
        o = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.f(o["x"])).masked_fill(o["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.f(batch[Columns.OBS]["x"])).squeeze(-1)


class RailAgents(MultiAgentEnv):
    def __init__(self, config=None):
        super().__init__()
        self.env = make_env()
        self.agents = self.possible_agents = ["cart"]
        self.observation_spaces = {"cart": self.env.observation_space}
        self.action_spaces = {"cart": self.env.action_space}

    def reset(self, *, seed=None, options=None):
        o, i = self.env.reset(seed=seed)
        return {"cart": o}, {"cart": i}

    def step(self, actions):
        o, r, term, trunc, i = self.env.step(actions["cart"])
        return {"cart": o}, {"cart": r}, {"cart": term, "__all__": term}, {"__all__": trunc and not term}, {"cart": i}


def make(id, env=RailAgents, module=Cart, **more):
    return Task(
        id=id,
        env=make_env,
        network=Net,
        multi_agent_env=env,
        rllib_module=module,
        ppo=PPOParams(n_envs=4, n_steps=48, batch_size=48, n_epochs=3, learning_rate=1e-3, gamma=0.995),
        **more,
    )


good = make("rail-brought")
good_plain = make("rail-plain", None)


class Ends(RailAgents):
    """The old done: an end is an end."""

    def step(self, actions):
        o, r, term, trunc, i = self.env.step(actions["cart"])
        done = term or trunc
        return {"cart": o}, {"cart": r}, {"cart": done, "__all__": done}, {"__all__": False}, {"cart": i}


bad_done = make("rail-done", Ends)


class ByName(RailAgents):
    def step(self, actions):
        o, r, term, trunc, i = self.env.step(actions["cart"])
        return {"cart": o}, {"cart": r}, {"cart": term, "__all__": term}, {"cart": trunc, "__all__": trunc}, {"cart": i}


bad_by_name = make("rail-by-name", ByName)


class NoLimit(RailAgents):
    """The wrapper was forgotten; RLlib has no horizon on the new stack."""

    def __init__(self, config=None):
        super().__init__()
        self.env = Rail()


bad_no_limit = make("rail-no-limit", NoLimit)


class SwappedEnds(RailAgents):
    def step(self, actions):
        o, r, trunc, term, i = self.env.step(actions["cart"])
        return {"cart": o}, {"cart": r}, {"cart": term, "__all__": term}, {"__all__": trunc}, {"cart": i}


bad_swapped = make("rail-swapped", SwappedEnds)


class AutoReset(RailAgents):
    """Resets by itself and returns the first observation of the next episode as the last one of this."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        if t["__all__"] or u["__all__"]:
            o = {"cart": self.env.reset()[0]}
        return o, r, t, u, i


bad_autoreset = make("rail-autoreset", AutoReset)


class FrameSkip(RailAgents):
    """Every action twice."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        if t["__all__"] or u["__all__"] or not o["cart"]["action_mask"][actions["cart"]]:
            return o, r, t, u, i
        o, r2, t, u, i = super().step(actions)
        return o, {"cart": r["cart"] + r2["cart"]}, t, u, i


bad_frame_skip = make("rail-frame-skip", FrameSkip)


class Rounded(RailAgents):
    """Rewards are booked as integers."""

    def step(self, actions):
        o, r, *rest = super().step(actions)
        return (o, {"cart": int(r["cart"] * 10) / 10}, *rest)


bad_rounded_reward = make("rail-rounded", Rounded)


class PreviousReward(RailAgents):
    """The reward of the step before."""

    def reset(self, **kw):
        self.last = 0.0
        return super().reset(**kw)

    def step(self, actions):
        o, r, *rest = super().step(actions)
        now, self.last = self.last, r["cart"]
        return (o, {"cart": now}, *rest)


bad_previous_reward = make("rail-previous-reward", PreviousReward)
