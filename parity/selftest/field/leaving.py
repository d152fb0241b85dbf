"""Fire drill: agents leave when they are out; a scout alone stays to the end. Each has rooms of its own."""

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

ROOMS = 6


class Escape(gym.Env):
    """A row of rooms; the exit is room 0; doors jam at random. stay, towards the exit, away."""

    observation_space = spaces.Dict(
        {
            "me": spaces.Box(0, 1, (ROOMS,), np.float32),
            "jammed": spaces.Box(0, 1, (2,), np.float32),
            "action_mask": spaces.Box(0, 1, (3,), np.int8),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.room, self.t = int(self.np_random.integers(2, ROOMS)), 0
        self.jam()
        return self.observe(), {}

    def jam(self):
        self.jammed = self.np_random.random(2) < 0.3

    def observe(self):
        mask = [1, not self.jammed[0], not self.jammed[1] and self.room < ROOMS - 1]
        return {
            "me": np.eye(ROOMS, dtype=np.float32)[self.room],
            "jammed": self.jammed.astype(np.float32),
            "action_mask": np.array(mask, np.int8),
        }

    def step(self, action):
        assert self.observe()["action_mask"][action]
        self.room += (0, -1, 1)[int(action)]
        self.t += 1
        self.jam()
        out = self.room == 0
        return self.observe(), (1.0 if out else -0.1), out, self.t >= 12 and not out, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.h = nn.Sequential(nn.Linear(ROOMS + 2, 24), nn.Tanh())
        self.p, self.v = nn.Linear(24, 3), nn.Linear(24, 1)

    def forward(self, obs):
        h = self.h(torch.cat([obs["me"], obs["jammed"]], -1))
        return self.p(h), self.v(h).squeeze(-1)


class Person(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.h = nn.Sequential(nn.Linear(ROOMS + 2, 24), nn.Tanh())
        self.p, self.v = nn.Linear(24, 3), nn.Linear(24, 1)

    def feat(self, batch):
        o = batch[Columns.OBS]
        return self.h(torch.cat([o["me"], o["jammed"]], -1))

    def _forward(self, batch, **kwargs):
        mask = batch[Columns.OBS]["action_mask"]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.feat(batch)).masked_fill(mask == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.feat(batch)).squeeze(-1)


class Building(MultiAgentEnv):
    """ada (the learning one) and bob; whoever is out has left. The episode ends with ada's."""

    def __init__(self, config=None):
        super().__init__()
        self.people = {"ada": Escape(), "bob": Escape()}
        self.possible_agents = list(self.people)
        self.agents = list(self.possible_agents)
        self.observation_spaces = {a: e.observation_space for a, e in self.people.items()}
        self.action_spaces = {a: e.action_space for a, e in self.people.items()}

    def reset(self, *, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return {
            a: e.reset(seed=None if seed is None else seed + 77 * i)[0] for i, (a, e) in enumerate(self.people.items())
        }, {}

    def step(self, actions):
        obs, rewards, terms, cut, done = {}, {}, {"__all__": False}, False, False
        for a, action in actions.items():
            obs[a], rewards[a], out, late, _ = self.people[a].step(action)
            if out:
                terms[a] = True
                self.agents.remove(a)
            if a == "ada":
                done, cut = out, late
        if done:
            terms = {**dict.fromkeys(self.agents, True), **terms, "__all__": True}
        return obs, rewards, terms, {"__all__": cut and not done}, {}


def make(id, env=Building, **more):
    return Task(
        id=id,
        env=Escape,
        network=Net,
        multi_agent_env=env,
        learning_agent="ada",
        rllib_module=Person,
        other_modules={"bob": Person},
        ppo=PPOParams(n_envs=2, n_steps=96, batch_size=64, n_epochs=3, learning_rate=1e-3, gamma=0.95),
        **more,
    )


good = make("escape-leaving")


class Strict(Building):
    """Refuses actions of those who have left."""

    def step(self, actions):
        assert set(actions) <= set(self.agents), f"{set(actions) - set(self.agents)} has left"
        return super().step(actions)


good_strict = make("escape-strict", Strict)


class Alone(Building):
    """Without bob: an environment of one agent."""

    def __init__(self, config=None):
        super().__init__()
        del self.people["bob"]
        self.possible_agents, self.agents = ["ada"], ["ada"]


from dataclasses import replace

good_alone = replace(make("escape-alone", Alone), other_modules={})


class DeadTalks(Building):
    """Rewards go to everybody of possible_agents at every step."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        return o, {a: r.get(a, 0.0) for a in self.possible_agents}, t, u, i


bad_dead_talks = make("escape-dead-talks", DeadTalks)


class NoAll(Building):
    """__all__ becomes True only when everybody is out: after ada has left, ada's episode goes on without her, and the time limit
    is a termination."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        return o, r, {**t, "__all__": t["__all__"] or u["__all__"]}, {"__all__": False}, i


bad_cut_is_end = make("escape-cut-is-end", NoAll)


class BobsReward(Building):
    """Rewards by position in a list: ada gets bob's as long as he is there."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        if len(r) == 2:
            r = {"ada": r["bob"], "bob": r["ada"]}
        return o, r, t, u, i


bad_bobs_reward = make("escape-bobs-reward", BobsReward)


class LessRooms(Building):
    """A default argument differs: nobody starts in the last room."""

    def reset(self, **kw):
        out = super().reset(**kw)
        for a, e in self.people.items():
            e.room = min(e.room, ROOMS - 2)
            out[0][a] = e.observe()
        return out


bad_start = make("escape-start", LessRooms)


class EndsEarly(Building):
    """bob's exit ends the episode for both."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        if t.get("bob"):
            t = {**t, "__all__": True}
        return o, r, t, u, i


bad_bob_ends = make("escape-bob-ends", EndsEarly)
