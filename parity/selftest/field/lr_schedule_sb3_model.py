"""An existing MaskablePPO (policy_kwargs, features extractor, schedules) beside its port. Filling three bins with parcels."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from sb3_contrib import MaskablePPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from parity import PPOParams, Task

BINS = 3


class Bins(gym.Env):
    observation_space = spaces.Box(0, 1, (BINS + 2,), np.float32)
    action_space = spaces.Discrete(BINS + 1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.room = np.ones(BINS, np.float32)
        self.parcel = float(self.np_random.uniform(0.1, 0.6))
        self.t = 0
        return self.observe(), {}

    def observe(self):
        return np.concatenate([self.room, [self.parcel, self.t / 12]]).astype(np.float32).clip(0, 1)

    def action_masks(self):
        return np.append(self.room >= self.parcel, True)

    def step(self, a):
        assert self.action_masks()[a]
        r = 0.0
        if a < BINS:
            self.room[a] -= self.parcel
            r = self.parcel
        self.parcel = float(self.np_random.uniform(0.1, 0.6))
        self.t += 1
        return self.observe(), r, self.t == 12, False, {}


class Extractor(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=24):
        super().__init__(observation_space, features_dim)
        self.net = nn.Sequential(
            nn.Linear(observation_space.shape[0], 24), nn.LeakyReLU(), nn.Linear(24, features_dim), nn.LeakyReLU()
        )

    def forward(self, obs):
        return self.net(obs)


PPO_ = PPOParams(
    n_envs=4, n_steps=48, batch_size=48, n_epochs=4, learning_rate=7e-4, gamma=0.98, ent_coef=0.01, clip_range=0.15
)
STEPS = 4096


def model(vec_env, seed, device, learning_rate=PPO_.learning_rate, clip_range=PPO_.clip_range, **policy_kwargs):
    kwargs = (
        dict(
            features_extractor_class=Extractor,
            features_extractor_kwargs={"features_dim": 24},
            net_arch=dict(pi=[16], vf=[16]),
            activation_fn=nn.Tanh,
        )
        | policy_kwargs
    )
    return MaskablePPO(
        "MlpPolicy",
        vec_env,
        learning_rate=learning_rate,
        n_steps=48,
        batch_size=48,
        n_epochs=4,
        gamma=0.98,
        ent_coef=0.01,
        clip_range=clip_range,
        policy_kwargs=kwargs,
        seed=seed,
        device=device,
    )


class Packer(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        n = self.observation_space["observations"].shape[0]
        self.extract = nn.Sequential(nn.Linear(n, 24), nn.LeakyReLU(), nn.Linear(24, 24), nn.LeakyReLU())
        self.pi = nn.Sequential(nn.Linear(24, 16), nn.Tanh())
        self.vf = nn.Sequential(nn.Linear(24, 16), nn.Tanh())
        self.logits = nn.Linear(16, BINS + 1)
        self.value = nn.Linear(16, 1)

    def free(self, seen):
        return self.logits(self.pi(self.extract(seen)))

    def _forward(self, batch, **kwargs):
        o = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.free(o["observations"]).masked_fill(o["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.value(self.vf(self.extract(batch[Columns.OBS]["observations"]))).squeeze(-1)


def make(id, sb3=model, module=Packer, config=lambda c: c, **more):
    return Task(
        id=id,
        env=Bins,
        sb3_model=sb3,
        rllib_module=module,
        rllib_config=config,
        ppo=PPO_,
        steps=STEPS,
        **more,
    )


good = make("bins-sb3-model")


class TwoExtractors(Packer):
    """share_features_extractor=False has one for the value too."""

    def setup(self):
        super().setup()
        n = self.observation_space["observations"].shape[0]
        self.extract_vf = nn.Sequential(nn.Linear(n, 24), nn.LeakyReLU(), nn.Linear(24, 24), nn.LeakyReLU())

    def compute_values(self, batch, embeddings=None):
        return self.value(self.vf(self.extract_vf(batch[Columns.OBS]["observations"]))).squeeze(-1)


good_two_extractors = make(
    "bins-two-extractors", lambda v, s, d: model(v, s, d, share_features_extractor=False), TwoExtractors
)
bad_share_features = make("bins-share-features", lambda v, s, d: model(v, s, d, share_features_extractor=False), Packer)


class WrongSlope(Packer):
    """SB3's extractor has a LeakyReLU (0.01), the port copied from another project 0.2."""

    def setup(self):
        super().setup()
        for layer in self.extract:
            if isinstance(layer, nn.LeakyReLU):
                layer.negative_slope = 0.2


bad_slope = make("bins-slope", module=WrongSlope)


class NoLatent(Packer):
    """A tanh after the logits, as the policy net has one."""

    def free(self, seen):
        return torch.tanh(super().free(seen))


bad_tanh_logits = make("bins-tanh-logits", module=NoLatent)


def linear(start):
    return lambda remaining: start * remaining


def scheduled(v, s, d):
    return model(v, s, d, learning_rate=linear(7e-4))


good_schedule = make("bins-schedule", scheduled, config=lambda c: c.training(lr=[[0, 7e-4], [STEPS, 0.0]]))
bad_no_schedule = make("bins-no-schedule", scheduled, config=lambda c: c.training(lr=7e-4))
bad_schedule_short = make(
    "bins-schedule-short", scheduled, config=lambda c: c.training(lr=[[0, 7e-4], [STEPS // 4, 0.0]])
)
bad_gamma_of_model = make("bins-gamma", config=lambda c: c.training(gamma=0.99))
bad_clip_of_model = make("bins-clip", config=lambda c: c.training(clip_param=0.2))
