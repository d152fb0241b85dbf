"""Whole episodes, of which some are truncated; a filter, schedules, callbacks: built step by step."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.callbacks import DefaultCallbacks
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.models import ModelCatalog
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.tune.registry import register_env
from torch import nn


class Lift(gymnasium.Env):
    """Down, wait or up, towards a floor; over when it is there, or after 15 steps."""

    def __init__(self, config=None):
        parts = {"floors": spaces.Box(-1, 1, (2,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)}
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.floor, self.wanted = 0, *(int(floor) for floor in self.np_random.permutation(9)[:2])
        return self.look(), {}

    def look(self):
        mask = np.array([self.floor > 0, True, self.floor < 8], np.int8)
        return {"floors": np.array([self.floor / 4 - 1, self.wanted / 4 - 1], np.float32), "action_mask": mask}

    def step(self, action):
        self.t, self.floor = self.t + 1, min(8, max(0, self.floor + int(action) - 1))
        there = self.floor == self.wanted
        return self.look(), float(there) - 0.01, there, self.t >= 15 and not there, {}


class LiftModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.trunk = nn.Linear(2, 32)
        self.pi, self.vf = nn.Linear(32, num_outputs), nn.Linear(32, 1)

    def forward(self, input_dict, state, seq_lens):
        self.features = torch.relu(self.trunk(input_dict["obs"]["floors"]))
        return self.pi(self.features).masked_fill(input_dict["obs"]["action_mask"] < 0.5, -1e9), state

    def value_function(self):
        return self.vf(self.features).squeeze(-1)


class Counting(DefaultCallbacks):
    def on_episode_end(self, *, worker, base_env, policies, episode, env_index, **kwargs):
        episode.custom_metrics["length"] = episode.length


register_env("lift", lambda config: Lift(config))
ModelCatalog.register_custom_model("lift_model", LiftModel)

config = PPOConfig().api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
config = config.environment("lift").framework("torch").callbacks(Counting)
config.rollouts(
    num_rollout_workers=0, num_envs_per_worker=2, batch_mode="complete_episodes", observation_filter="MeanStdFilter"
)
config.training(
    lr_schedule=[[0, 1e-3], [50000, 1e-4]], entropy_coeff_schedule=[[0, 0.02], [50000, 0.0]], gamma=0.98, lambda_=0.9,
    clip_param=0.2, kl_coeff=0.0, vf_clip_param=50.0, grad_clip=0.5, train_batch_size=400, sgd_minibatch_size=100,
    num_sgd_iter=3, model={"custom_model": "lift_model"},
)  # fmt: skip
