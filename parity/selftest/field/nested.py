"""A port with nested observations (Dict in Dict, Tuple); SB3 has the same numbers in a flat Dict."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import PPOParams, Task


class Market(gym.Env):
    """Buy (1), hold (0), sell (2) one good at a price that wanders; at most 3 in stock."""

    observation_space = spaces.Dict(
        {
            "stock": spaces.Box(0, 3, (1,), np.float32),
            "cash": spaces.Box(-10, 10, (1,), np.float32),
            "prices": spaces.Box(-5, 5, (4,), np.float32),
            "action_mask": spaces.Box(0, 1, (3,), np.int8),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.stock, self.cash, self.t = 0, 0.0, 0
        self.prices = self.np_random.normal(0, 1, 4).astype(np.float32)
        return self.observe(), {}

    def observe(self):
        return {
            "stock": np.array([self.stock], np.float32),
            "cash": np.array([self.cash], np.float32).clip(-10, 10),
            "prices": self.prices.clip(-5, 5).astype(np.float32),
            "action_mask": np.array([1, self.stock < 3, self.stock > 0], np.int8),
        }

    def step(self, action):
        price = float(self.prices[-1])
        reward = {0: 0.0, 1: -price, 2: price}[int(action)]
        self.stock += {0: 0, 1: 1, 2: -1}[int(action)]
        assert 0 <= self.stock <= 3
        self.cash += reward
        self.prices = np.append(self.prices[1:], 0.8 * price + self.np_random.normal(0, 0.6)).astype(np.float32)
        self.t += 1
        return self.observe(), reward, False, self.t >= 16, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.account = nn.Sequential(nn.Linear(2, 16), nn.Tanh())
        self.history = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
        self.policy = nn.Linear(32, 3)
        self.value = nn.Linear(32, 1)

    def forward(self, obs):
        h = torch.cat([self.account(torch.cat([obs["stock"], obs["cash"]], -1)), self.history(obs["prices"])], -1)
        return self.policy(h), self.value(h).squeeze(-1)


def nested(o):
    return {
        "account": {"stock": o["stock"], "cash": o["cash"]},
        "history": (o["prices"][:3], o["prices"][3:]),
        "action_mask": o["action_mask"],
    }


class NestedMarket(MultiAgentEnv):
    """The trader sees {"account": {"stock", "cash"}, "history": (older, newest), "action_mask"}."""

    def __init__(self, config=None):
        super().__init__()
        self.env = Market()
        self.agents = self.possible_agents = ["trader"]
        inner = self.env.observation_space
        self.observation_spaces = {
            "trader": spaces.Dict(
                {
                    "account": spaces.Dict({"stock": inner["stock"], "cash": inner["cash"]}),
                    "history": spaces.Tuple((spaces.Box(-5, 5, (3,), np.float32), spaces.Box(-5, 5, (1,), np.float32))),
                    "action_mask": inner["action_mask"],
                }
            )
        }
        self.action_spaces = {"trader": self.env.action_space}

    def reset(self, *, seed=None, options=None):
        o, _ = self.env.reset(seed=seed)
        return {"trader": nested(o)}, {}

    def step(self, action):
        o, r, term, trunc, _ = self.env.step(action["trader"])
        return {"trader": nested(o)}, {"trader": r}, {"__all__": term}, {"__all__": trunc}, {}


class Trader(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.account = nn.Sequential(nn.Linear(2, 16), nn.Tanh())
        self.history = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
        self.policy = nn.Linear(32, 3)
        self.value = nn.Linear(32, 1)

    def cash(self, obs):
        return obs["account"]["cash"]

    def features(self, obs):
        account = self.account(torch.cat([obs["account"]["stock"], self.cash(obs)], -1))
        return torch.cat([account, self.history(torch.cat(list(obs["history"]), -1))], -1)

    def _forward(self, batch, **kwargs):
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.policy(self.features(obs)).masked_fill(obs["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.value(self.features(batch[Columns.OBS])).squeeze(-1)


WHY = {"PAR034": "the same numbers, nested", "PAR030": "the same numbers, nested"}


PPO = PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=1e-3)


def make(id, env=NestedMarket, module=Trader):
    return Task(id=id, env=Market, network=Net, multi_agent_env=env, rllib_module=module, declared=WHY, ppo=PPO)


good = make("market-nested")


class Selling(NestedMarket):
    """The mask is taken before the trade is booked: it is that of the state before."""

    def step(self, action):
        before = self.env.observe()["action_mask"]
        o, r, t, u, i = super().step(action)
        o["trader"]["action_mask"] = before
        return o, r, t, u, i


bad_old_mask = make("market-old-mask", Selling)


class TwoSteps(NestedMarket):
    """An old trick of a colleague: cash in percent, reward too, only in the port."""

    def step(self, action):
        o, r, t, u, i = super().step(action)
        return o, {"trader": r["trader"] / 100}, t, u, i


bad_reward_scale = make("market-reward-scale", TwoSteps)


class Blind(Trader):
    def cash(self, obs):
        return torch.zeros_like(obs["account"]["cash"])


bad_blind = make("market-blind", module=Blind)


class NestedAlone(Market):
    """The single-agent environment, nested itself: SB3 gets it through parity."""

    def __init__(self):
        self.observation_space = NestedMarket().observation_spaces["trader"]

    def observe(self):
        return nested(super().observe())


class NestedNet(Net):
    def forward(self, obs):
        return super().forward({**obs["account"], "prices": torch.cat(list(obs["history"]), -1)})


def native(id, module=Trader):
    return Task(id=id, env=NestedAlone, network=NestedNet, rllib_module=module, ppo=PPO)


good_native = native("market-native")


class StockOfHistory(Trader):
    """Takes the oldest price for the cash."""

    def cash(self, obs):
        return obs["history"][0][:, :1]


bad_wrong_entry = native("market-wrong-entry", StockOfHistory)
