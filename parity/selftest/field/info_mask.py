"""The mask comes with info; the observation is a plain Box. Cutting a rod into pieces."""

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


class Rod(gym.Env):
    """Piece of length a + 1 is cut off; prices change from episode to episode."""

    observation_space = spaces.Box(0.0, 20.0, (6,), np.float32)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.rest = int(self.np_random.integers(8, 17))
        self.price = np.sort(self.np_random.uniform(0.5, 5, 5)).astype(np.float32)
        return self.observe(), self.info()

    def observe(self):
        return np.append(self.price, self.rest).astype(np.float32)

    def info(self):
        return {"action_mask": np.arange(1, 6) <= max(self.rest, 1)}

    def step(self, action):
        assert action + 1 <= self.rest
        self.rest -= int(action) + 1
        return self.observe(), float(self.price[action]), self.rest == 0, False, self.info()


def layers():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.pi, self.vf = layers(), layers()
        self.pi_out, self.vf_out = nn.Linear(32, 5), nn.Linear(32, 1)

    def forward(self, obs):
        x = obs / 10.0
        return self.pi_out(self.pi(x)), self.vf_out(self.vf(x)).squeeze(-1)


class Saw(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.pi, self.vf = layers(), layers()
        self.pi_out, self.vf_out = nn.Linear(32, 5), nn.Linear(32, 1)

    def _forward(self, batch, **kwargs):
        x = batch[Columns.OBS]["observations"] / 10.0
        mask = batch[Columns.OBS]["action_mask"].bool()
        return {Columns.ACTION_DIST_INPUTS: self.pi_out(self.pi(x)).masked_fill(~mask, -1e8)}

    def compute_values(self, batch, embeddings=None):
        return self.vf_out(self.vf(batch[Columns.OBS]["observations"] / 10.0)).squeeze(-1)


PPO = PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=1e-3, vf_coef=0.25, gae_lambda=0.9)


def make(id, module=Saw, **more):
    return Task(id=id, env=Rod, network=Net, rllib_module=module, ppo=PPO, **more)


good = make("rod-good")
good_no_module = make("rod-reference", None)
good_explicit_mask = make("rod-explicit", mask="info:action_mask")


class RodAgents(MultiAgentEnv):
    """The user's own wrapper: mask from info into the observation."""

    def __init__(self, config=None):
        super().__init__()
        self.env = Rod()
        self.agents = self.possible_agents = ["saw"]
        self.observation_spaces = {
            "saw": spaces.Dict(
                {"observations": self.env.observation_space, "action_mask": spaces.Box(0, 1, (5,), np.float32)}
            )
        }
        self.action_spaces = {"saw": self.env.action_space}

    def obs(self, o, info):
        return {"saw": {"observations": o, "action_mask": info["action_mask"].astype(np.float32)}}

    def reset(self, *, seed=None, options=None):
        o, info = self.env.reset(seed=seed)
        return self.obs(o, info), {}

    def step(self, actions):
        o, r, term, trunc, info = self.env.step(actions["saw"])
        return self.obs(o, info), {"saw": r}, {"__all__": term}, {"__all__": trunc}, {}


def brought(id, env=RodAgents, module=Saw, **more):
    return make(id, module, multi_agent_env=env, **more)


good_brought = brought("rod-brought")


class StaleInfo(RodAgents):
    """self.info is stored once per step, before the inner step: the mask lags by one."""

    def reset(self, *, seed=None, options=None):
        o, self.info = self.env.reset(seed=seed)
        return self.obs(o, self.info), {}

    def step(self, actions):
        o, r, term, trunc, info = self.env.step(actions["saw"])
        out = self.obs(o, self.info)
        self.info = info
        return out, {"saw": r}, {"__all__": term}, {"__all__": trunc}, {}


bad_mask_lag = brought("rod-lag", StaleInfo)


class LastReward(RodAgents):
    """At the end nothing is returned for the agent: the last piece is never paid."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        return o, ({"saw": 0.0} if t["__all__"] else r), t, u, i


bad_last_reward = brought("rod-last-reward", LastReward)


class DroppedSeed(RodAgents):
    def reset(self, *, seed=None, options=None):
        return super().reset()


bad_dropped_seed = brought("rod-dropped-seed", DroppedSeed)


class ValueOnPolicyTrunk(Saw):
    def compute_values(self, batch, embeddings=None):
        return self.vf_out(self.pi(batch[Columns.OBS]["observations"] / 10.0)).squeeze(-1)


bad_value_trunk = make("rod-value-trunk", ValueOnPolicyTrunk)


class NoScale(Saw):
    def compute_values(self, batch, embeddings=None):
        return self.vf_out(self.vf(batch[Columns.OBS]["observations"])).squeeze(-1)


bad_value_unscaled = make("rod-value-unscaled", NoScale)


class KeptDim(Saw):
    def compute_values(self, batch, embeddings=None):
        return self.vf_out(self.vf(batch[Columns.OBS]["observations"] / 10.0))


bad_value_shape = make("rod-value-shape", KeptDim)


class NoGradValue(Saw):
    @torch.no_grad()
    def compute_values(self, batch, embeddings=None):
        return super().compute_values(batch, embeddings)


bad_value_no_grad = make("rod-value-nograd", NoGradValue)

bad_lambda = make("rod-lambda", rllib_config=lambda c: c.training(lambda_=1.0))
bad_vf_coeff = make("rod-vf-coeff", rllib_config=lambda c: c.training(vf_loss_coeff=0.5))
bad_kl = make("rod-kl", rllib_config=lambda c: c.training(use_kl_loss=True, kl_coeff=0.2))
bad_vf_clip = make("rod-vf-clip", rllib_config=lambda c: c.training(vf_clip_param=10.0))
