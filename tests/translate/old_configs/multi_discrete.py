"""MultiDiscrete actions, with what was said of exploration and of samples: calls of PPOConfig."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.models import ModelCatalog
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.rllib.policy.sample_batch import SampleBatch
from ray.tune.registry import register_env
from torch import nn


class Crane(gymnasium.Env):
    """Where to lift and where to put down; the mask has an entry for each option of both."""

    def __init__(self, config=None):
        parts = {"yard": spaces.Box(0, 1, (7,), np.float32), "action_mask": spaces.Box(0, 1, (7,), np.int8)}
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.MultiDiscrete([3, 4])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def look(self):
        self.free = (self.np_random.random(7) < 0.7).astype(np.int8)
        self.free[[self.np_random.integers(3), 3 + self.np_random.integers(4)]] = 1
        self.yard = self.np_random.random(7).astype(np.float32)
        return {"yard": self.yard, "action_mask": self.free}

    def step(self, action):
        places = [int(action[0]), 3 + int(action[1])]
        self.t += 1
        reward = float(self.yard[places].sum()) if self.free[places].all() else -1.0
        return self.look(), reward, self.t >= 9, False, {}


class CraneModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.policy = nn.Sequential(nn.Linear(7, 32), nn.Tanh(), nn.Linear(32, num_outputs))
        self.critic = nn.Sequential(nn.Linear(7, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, input_dict, state, seq_lens):
        observations = input_dict[SampleBatch.OBS]
        self.yard = observations["yard"]
        return self.policy(self.yard) + torch.clamp(torch.log(observations["action_mask"]), min=-1e10), state

    def value_function(self):
        return self.critic(self.yard).squeeze(1)


register_env("crane", lambda config: Crane(config))
ModelCatalog.register_custom_model("crane_model", CraneModel)

config = (
    PPOConfig()
    .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    .environment(env="crane", disable_env_checking=True)
    .framework(framework="torch")
    .env_runners(
        num_env_runners=0, num_envs_per_env_runner=3, rollout_fragment_length="auto", batch_mode="truncate_episodes",
        explore=True, exploration_config={"type": "StochasticSampling"}, observation_filter="NoFilter",
        compress_observations=False, sample_timeout_s=None,
    )
    .training(
        lr=7e-4, gamma=0.97, lambda_=0.9, clip_param=0.3, kl_coeff=0.0, use_kl_loss=False, vf_clip_param=float("inf"),
        entropy_coeff=0.005, grad_clip=1.0, train_batch_size=288, minibatch_size=96, num_epochs=3,
        shuffle_batch_per_epoch=True, use_gae=True, use_critic=True, model={"custom_model": CraneModel},
    )
)  # fmt: skip
