"""PettingZoo environments as they are, AEC and parallel: sharing out coins, each player from a purse of his own."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task

SPACE = spaces.Dict({"observation": spaces.Box(0, 1, (4,), np.float32), "action_mask": spaces.Box(0, 1, (4,), np.int8)})


class Purse(gym.Env):
    """Each turn a price is offered for spending 0 to 3 coins; ten turns, twelve coins."""

    observation_space, action_space = SPACE, spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.coins, self.turn = 12, 0
        self.price = float(self.np_random.random())
        return self.observe(), {}

    def observe(self):
        x = np.array([self.coins / 12, self.turn / 10, self.price, 1.0], np.float32)
        return {"observation": x, "action_mask": (np.arange(4) <= self.coins).astype(np.int8)}

    def step(self, action):
        assert action <= self.coins
        reward = int(action) * (1 - self.price)
        self.coins -= int(action)
        self.turn += 1
        self.price = float(self.np_random.random())
        return self.observe(), reward, self.turn == 10, False, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.h = nn.Sequential(nn.Linear(4, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, 4), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.h(obs["observation"])
        return self.p(h), self.v(h).squeeze(-1)


class Spender(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.h = nn.Sequential(nn.Linear(4, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, 4), nn.Linear(32, 1)

    def _forward(self, batch, **kwargs):
        o = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.h(o["observation"])).masked_fill(o["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.h(batch[Columns.OBS]["observation"])).squeeze(-1)


class ParallelPurses(ParallelEnv):
    metadata = {"name": "purses_v0"}
    render_mode = None

    def __init__(self):
        self.possible_agents = ["anna", "ben"]
        self.purses = {a: Purse() for a in self.possible_agents}

    def observation_space(self, agent):
        return self.purses[agent].observation_space

    def action_space(self, agent):
        return self.purses[agent].action_space

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return {
            a: self.purses[a].reset(seed=None if seed is None else seed + 13 * i)[0] for i, a in enumerate(self.agents)
        }, {a: {} for a in self.agents}

    def step(self, actions):
        obs, rew, term, trunc, info = {}, {}, {}, {}, {}
        for a, action in actions.items():
            obs[a], rew[a], term[a], trunc[a], info[a] = self.purses[a].step(action)
        if all(term.values()):
            self.agents = []
        return obs, rew, term, trunc, info


class Purses(AECEnv):
    """By turns."""

    metadata = {"name": "purses_aec_v0", "is_parallelizable": True}
    render_mode = None

    def __init__(self):
        super().__init__()
        self.possible_agents = ["anna", "ben"]
        self.purses = {a: Purse() for a in self.possible_agents}
        self.observation_spaces = {a: SPACE for a in self.possible_agents}
        self.action_spaces = {a: spaces.Discrete(4) for a in self.possible_agents}

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def observe(self, agent):
        return self.purses[agent].observe()

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        for i, a in enumerate(self.agents):
            self.purses[a].reset(seed=None if seed is None else seed + 13 * i)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {a: {} for a in self.agents}
        self.agent_selection = "anna"

    def step(self, action):
        a = self.agent_selection
        if self.terminations[a] or self.truncations[a]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[a] = 0.0
        self._clear_rewards()
        _, self.rewards[a], end, _, _ = self.purses[a].step(action)
        if a == "ben" and end:
            self.terminations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self.agent_selection = "ben" if a == "anna" else "anna"


def make(id, env, **more):
    return Task(
        id=id,
        env=Purse,
        network=Net,
        multi_agent_env=env,
        learning_agent="anna",
        rllib_module=Spender,
        other_modules={"ben": Spender},
        ppo=PPOParams(n_envs=2, n_steps=80, batch_size=40, n_epochs=3, learning_rate=1e-3),
        **more,
    )


good_parallel = make("purses-parallel", ParallelPurses)
good_aec = make("purses-aec", Purses)


class CombinedReward(ParallelPurses):
    def step(self, actions):
        o, r, *rest = super().step(actions)
        return (o, {a: sum(r.values()) / 2 for a in r}, *rest)


bad_mean_reward = make("purses-mean-reward", CombinedReward)


class WrongSelection(Purses):
    """observe() forgets its argument and shows whose turn it is."""

    def observe(self, agent):
        return self.purses["ben" if self.agent_selection == "anna" else "anna"].observe()


bad_observes_other = make("purses-observes-other", WrongSelection)


class Truncated(ParallelPurses):
    """The last turn is told as a truncation."""

    def step(self, actions):
        o, r, term, trunc, i = super().step(actions)
        return o, r, dict.fromkeys(term, False), term, i


bad_truncated = make("purses-truncated", Truncated)
