"""Nim against oneself: two players by turns, one shared policy, sides drawn by episode or not. SB3 plays against a random player."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import PPOParams, Task

HEAP = 12


def see(heap):
    x = np.zeros(HEAP + 1, np.float32)
    x[heap] = 1
    mask = (np.arange(1, 4) <= max(heap, 1)).astype(np.int8)
    return {"heap": x, "action_mask": mask}


SPACE = spaces.Dict({"heap": spaces.Box(0, 1, (HEAP + 1,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)})


class NimAlone(gym.Env):
    """Takes 1 to 3; who takes the last one wins. The other player takes at random."""

    observation_space, action_space = SPACE, spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.heap = int(self.np_random.integers(5, HEAP + 1))
        return see(self.heap), {}

    def step(self, action):
        self.heap -= int(action) + 1
        assert self.heap >= 0
        if self.heap == 0:
            return see(0), 1.0, True, False, {}
        self.heap -= int(self.np_random.integers(1, min(3, self.heap) + 1))
        return see(self.heap), (-1.0 if self.heap == 0 else 0.0), self.heap == 0, False, {}


class Nim(MultiAgentEnv):
    def __init__(self, config=None):
        super().__init__()
        self.agents = self.possible_agents = ["first", "second"]
        self.observation_spaces = {a: SPACE for a in self.agents}
        self.action_spaces = {a: spaces.Discrete(3) for a in self.agents}
        self.rng = np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.heap, self.turn = int(self.rng.integers(5, HEAP + 1)), 0
        return {"first": see(self.heap)}, {}

    def step(self, actions):
        me, other = self.agents[self.turn], self.agents[1 - self.turn]
        self.heap -= int(actions[me]) + 1
        assert self.heap >= 0
        self.turn = 1 - self.turn
        if self.heap == 0:
            return {me: see(0), other: see(0)}, {me: 1.0, other: -1.0}, {"__all__": True}, {"__all__": False}, {}
        return {other: see(self.heap)}, {}, {"__all__": False}, {"__all__": False}, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.h = nn.Sequential(nn.Linear(HEAP + 1, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.h(obs["heap"])
        return self.p(h), self.v(h).squeeze(-1)


class Player(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.h = nn.Sequential(nn.Linear(HEAP + 1, 32), nn.Tanh())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def _forward(self, batch, **kwargs):
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.h(obs["heap"])).masked_fill(obs["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.h(batch[Columns.OBS]["heap"])).squeeze(-1)


class RandomLegal(TorchRLModule):
    """Untrained: uniform over what is legal."""

    def setup(self):
        self.nothing = nn.Parameter(torch.zeros(1))

    def _forward(self, batch, **kwargs):
        m = batch[Columns.OBS]["action_mask"]
        return {Columns.ACTION_DIST_INPUTS: torch.zeros(m.shape).masked_fill(m == 0, -1e9) + 0 * self.nothing}


def self_play(config):
    return config.multi_agent(
        policies={"nim"}, policy_mapping_fn=lambda agent_id, episode, **kw: "nim", policies_to_train=["nim"]
    ).rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"nim": RLModuleSpec(module_class=Player)}))


def by_episode(agent_id, episode, **kwargs):
    """RLlib's docs: who is main changes from episode to episode."""
    return "main" if hash(episode.id_) % 2 == int(agent_id == "second") else "random"


def league(config, mapping=by_episode):
    specs = {"main": RLModuleSpec(module_class=Player), "random": RLModuleSpec(module_class=RandomLegal)}
    return config.multi_agent(
        policies={"main", "random"}, policy_mapping_fn=mapping, policies_to_train=["main"]
    ).rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))


def against_random(config):
    return league(config, lambda agent_id, episode, **kw: "main" if agent_id == "first" else "random")


OTHER = {c: "the other player moves otherwise" for c in ("PAR030", "PAR031", "PAR032", "PAR033")}


def make(id, config):
    return Task(
        id=id,
        env=NimAlone,
        network=Net,
        multi_agent_env=Nim,
        learning_agent="first",
        rllib_config=config,
        declared=OTHER,
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=3, learning_rate=1e-3, gamma=1.0),
    )


good_self_play = make("nim-self-play", self_play)
good_against_random = make("nim-against-random", against_random)
good_league = make("nim-league", league)
bad_swapped_mapping = make(
    "nim-swapped",
    lambda c: against_random(c).multi_agent(
        policy_mapping_fn=lambda agent_id, episode, **kw: "random" if agent_id == "first" else "main"
    ),
)
