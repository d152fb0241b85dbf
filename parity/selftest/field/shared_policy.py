"""Three couriers in worlds of their own, one shared policy; SB3 trains one of them."""

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

L = 7


class Street(gym.Env):
    """Left, right, deliver; parcels for two doors; deliver is legal at a door that waits."""

    observation_space = spaces.Dict(
        {
            "at": spaces.Box(0, 1, (L,), np.float32),
            "doors": spaces.Box(0, 1, (L,), np.float32),
            "action_mask": spaces.Box(0, 1, (3,), np.int8),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = int(self.np_random.integers(L)), 0
        self.doors = np.zeros(L, np.float32)
        self.doors[self.np_random.choice(L, 2, replace=False)] = 1
        return self.observe(), {}

    def observe(self):
        return {
            "at": np.eye(L, dtype=np.float32)[self.at],
            "doors": self.doors.copy(),
            "action_mask": np.array([self.at > 0, self.at < L - 1, self.doors[self.at] > 0], np.int8),
        }

    def step(self, action):
        assert self.observe()["action_mask"][action]
        self.t += 1
        reward = -0.05
        if action == 2:
            self.doors[self.at] = 0
            reward = 1.0
        else:
            self.at += 1 if action else -1
        return self.observe(), reward, False, self.t == 15, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.l = nn.Sequential(nn.Linear(2 * L, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.l(torch.cat([obs["at"], obs["doors"]], -1))
        return self.p(h), self.v(h).squeeze(-1)


class Fleet(MultiAgentEnv):
    """Every courier has a street of his own; the first one's is seeded as SB3's."""

    def __init__(self, config=None):
        super().__init__()
        self.streets = {f"courier_{i}": Street() for i in range(3)}
        self.agents = self.possible_agents = list(self.streets)
        self.observation_spaces = {a: s.observation_space for a, s in self.streets.items()}
        self.action_spaces = {a: s.action_space for a, s in self.streets.items()}

    def reset(self, *, seed=None, options=None):
        out = {}
        for i, (a, s) in enumerate(self.streets.items()):
            out[a], _ = s.reset(seed=None if seed is None else seed + 1000 * i)
        return out, {}

    def step(self, actions):
        obs, rewards, cut = {}, {}, False
        for a, action in actions.items():
            obs[a], rewards[a], _, cut, _ = self.streets[a].step(action)
        return obs, rewards, {"__all__": False}, {"__all__": cut}, {}


class Courier(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.l = nn.Sequential(nn.Linear(2 * L, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def h(self, batch):
        obs = batch[Columns.OBS]
        return self.l(torch.cat([obs["at"], obs["doors"]], -1))

    def _forward(self, batch, **kwargs):
        mask = batch[Columns.OBS]["action_mask"]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.h(batch)).masked_fill(mask == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.h(batch)).squeeze(-1)


def shared(config):
    return config.multi_agent(
        policies={"fleet"}, policy_mapping_fn=lambda agent_id, episode, **kw: "fleet", policies_to_train=["fleet"]
    ).rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"fleet": RLModuleSpec(module_class=Courier)}))


def make(id, env=Fleet, config=shared, **more):
    return Task(
        id=id,
        env=Street,
        network=Net,
        multi_agent_env=env,
        learning_agent="courier_0",
        rllib_config=config,
        ppo=PPOParams(n_envs=2, n_steps=64, batch_size=64, n_epochs=3, learning_rate=1e-3),
        **more,
    )


good = make("fleet-shared")


def own_policies(config):
    """A policy for each courier; all are trained."""
    names = [f"courier_{i}" for i in range(3)]
    return config.multi_agent(
        policies=set(names), policy_mapping_fn=lambda agent_id, episode, **kw: agent_id, policies_to_train=names
    ).rl_module(
        rl_module_spec=MultiRLModuleSpec(rl_module_specs={n: RLModuleSpec(module_class=Courier) for n in names})
    )


good_own_policies = make("fleet-own-policies", config=own_policies)


class OthersMask(Fleet):
    """Masks are handed round by one."""

    def rotate(self, obs):
        names = [a for a in self.streets if a in obs]
        masks = [obs[a]["action_mask"] for a in names]
        for i, a in enumerate(names):
            obs[a]["action_mask"] = masks[(i + 1) % len(names)]
        return obs

    def reset(self, **kw):
        o, i = super().reset(**kw)
        return self.rotate(o), i

    def step(self, actions):
        o, *rest = super().step(actions)
        return (self.rotate(o), *rest)


class LenientStreet(Street):
    def step(self, action):
        if not self.observe()["action_mask"][action]:
            self.t += 1
            return self.observe(), -0.05, False, self.t == 15, {}
        return super().step(action)


class OthersMaskLenient(OthersMask):
    def __init__(self, config=None):
        super().__init__(config)
        self.streets = {a: LenientStreet() for a in self.streets}


bad_others_mask = make("fleet-others-mask", OthersMaskLenient)


class TeamReward(Fleet):
    """Everybody gets the fleet's sum."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        return o, dict.fromkeys(r, sum(r.values())), t, u, i


bad_team_reward = make("fleet-team-reward", TeamReward)


class NamedCut(Fleet):
    """Truncation by name, as PettingZoo tells it."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        return o, r, t, {**dict.fromkeys(o, u["__all__"]), "__all__": u["__all__"]}, i


bad_named_truncation = make("fleet-named-cut", NamedCut)


def forgets_to_train(config):
    return own_policies(config).multi_agent(policies_to_train=["courier_1", "courier_2"])


bad_not_trained = make("fleet-not-trained", config=forgets_to_train)


def counts_agents(config):
    return shared(config).multi_agent(count_steps_by="agent_steps")


bad_agent_steps = make("fleet-agent-steps", config=counts_agents)


def wrong_id(config):
    """The spec is keyed by the agent, the mapping gives 'fleet'."""
    return shared(config).rl_module(
        rl_module_spec=MultiRLModuleSpec(rl_module_specs={"courier_0": RLModuleSpec(module_class=Courier)})
    )


bad_wrong_id = make("fleet-wrong-id", config=wrong_id)
