"""RLlib's own ActionMaskingTorchRLModule (and modules derived from RLlib's default PPO module) on a little warehouse."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.configs import MLPEncoderConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from torch import nn

from parity import PPOParams, Task

SIZE = 4
LAYERS = {"fcnet_hiddens": [32, 32], "head_fcnet_hiddens": []}
SEPARATE = {"fcnet_activation": "tanh", "vf_share_layers": False}
SHARED = {"fcnet_activation": "relu", "vf_share_layers": True}


class Warehouse(gym.Env):
    """Walk to the parcel and lift it; walls may not be walked into, lifting is legal only at the parcel."""

    observation_space = spaces.Dict(
        {"observations": spaces.Box(0.0, 1.0, (4,), np.float32), "action_mask": spaces.Box(0.0, 1.0, (5,), np.float32)}
    )
    action_space = spaces.Discrete(5)
    moves = [(-1, 0), (1, 0), (0, -1), (0, 1)]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.integers(0, SIZE, 2)
        self.parcel = self.np_random.integers(0, SIZE, 2)
        self.t = 0
        return self._obs(), {}

    def _obs(self):
        mask = [float(all(0 <= x < SIZE for x in self.at + np.array(m))) for m in self.moves]
        mask.append(float((self.at == self.parcel).all()))
        x = np.concatenate([self.at, self.parcel]).astype(np.float32) / (SIZE - 1)
        return {"observations": x, "action_mask": np.array(mask, np.float32)}

    def step(self, action):
        self.t += 1
        if action == 4:
            return self._obs(), 1.0, True, False, {}
        self.at = self.at + np.array(self.moves[action])
        assert (self.at >= 0).all() and (self.at < SIZE).all()
        return self._obs(), -0.02, False, self.t >= 25, {}


class Separate(nn.Module):
    """As RLlib's default: tanh layers, policy and value each with their own."""

    def __init__(self, observation_space, action_space, act=nn.Tanh):
        super().__init__()
        n = observation_space["observations"].shape[0]
        self.policy = nn.Sequential(
            nn.Linear(n, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, int(action_space.n))
        )
        self.value = nn.Sequential(nn.Linear(n, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, 1))

    def forward(self, obs):
        x = obs["observations"]
        return self.policy(x), self.value(x).squeeze(-1)


class Shared(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        n = observation_space["observations"].shape[0]
        self.trunk = nn.Sequential(nn.Linear(n, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.pi = nn.Linear(32, int(action_space.n))
        self.vf = nn.Linear(32, 1)

    def forward(self, obs):
        h = self.trunk(obs["observations"])
        return self.pi(h), self.vf(h).squeeze(-1)


def models(module=ActionMaskingTorchRLModule, **model_config):
    def configure(config):
        return config.rl_module(rl_module_spec=RLModuleSpec(module_class=module, model_config=LAYERS | model_config))

    return configure


def make(id, network, config, **more):
    return Task(
        id=id,
        env=Warehouse,
        network=network,
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=1e-3, ent_coef=0.01),
        rllib_config=config,
        **more,
    )


good_separate = make("warehouse-separate", Separate, models(**SEPARATE))
good_shared = make("warehouse-shared", Shared, models(**SHARED))


class ClassOnly(ActionMaskingTorchRLModule):
    """Given as rllib_module, with its model config inside."""

    def __init__(self, **kwargs):
        kwargs["model_config"] = LAYERS | SEPARATE
        super().__init__(**kwargs)


good_class_only = make("warehouse-class", Separate, None, rllib_module=ClassOnly)


class Careful(DefaultPPOTorchRLModule):
    """The default module with a mask, without popping anything."""

    def __init__(self, *, observation_space=None, **kwargs):
        self.full_space = observation_space
        super().__init__(observation_space=observation_space["observations"], **kwargs)

    def setup(self):
        super().setup()
        self.observation_space = self.full_space

    @staticmethod
    def inner(batch):
        return {**batch, Columns.OBS: batch[Columns.OBS]["observations"]}

    def legal(self, batch):
        return batch[Columns.OBS]["action_mask"] > 0

    def mask(self, out, batch):
        out[Columns.ACTION_DIST_INPUTS] = torch.where(self.legal(batch), out[Columns.ACTION_DIST_INPUTS], -1e9)
        return out

    def _forward(self, batch, **kwargs):
        return self.mask(super()._forward(self.inner(batch), **kwargs), batch)

    def _forward_train(self, batch, **kwargs):
        return self.mask(super()._forward_train(self.inner(batch), **kwargs), batch)

    def compute_values(self, batch, embeddings=None):
        return super().compute_values(self.inner(batch), embeddings)


good_careful = make("warehouse-careful", Separate, models(Careful, **SEPARATE))
good_careful_shared = make("warehouse-careful-shared", Shared, models(Careful, **SHARED))


class TinyCatalog(PPOCatalog):
    """An encoder of its own, through the catalog."""

    @classmethod
    def _get_encoder_config(cls, observation_space, model_config_dict, action_space=None):
        return MLPEncoderConfig(
            input_dims=observation_space.shape,
            hidden_layer_dims=[32],
            hidden_layer_activation="relu",
            output_layer_dim=32,
            output_layer_activation="relu",
        )


def catalog(config):
    return config.rl_module(
        rl_module_spec=RLModuleSpec(
            module_class=Careful,
            catalog_class=TinyCatalog,
            model_config={"vf_share_layers": True, "head_fcnet_hiddens": []},
        )
    )


good_catalog = make("warehouse-catalog", Shared, catalog)

# --- mistakes ---------------------------------------------------------------------------------------------------------------

bad_activation = make("warehouse-activation", Separate, models(Careful, fcnet_activation="relu", vf_share_layers=False))
bad_activation_rllib = make(
    "warehouse-activation-rllib", Separate, models(fcnet_activation="relu", vf_share_layers=False)
)
bad_default_model = make(
    "warehouse-default-model",
    Separate,
    lambda c: c.rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule)),
)


class OldMask(Careful):
    """Remembers the mask of the sampling pass, because the training batch 'has none'."""

    def legal(self, batch):
        legal = super().legal(batch)
        return torch.ones_like(legal) if torch.is_grad_enabled() else legal


bad_mask_only_without_grad = make("warehouse-mask-nograd", Separate, models(OldMask, **SEPARATE))


class DetachedValues(Careful):
    """The value must not disturb the trunk, its author thought; SB3's does."""

    def compute_values(self, batch, embeddings=None):
        if embeddings is None:
            embeddings = self.encoder(self.inner(batch))["encoder_out"]["critic"]
        return self.vf(embeddings.detach()).squeeze(-1)


bad_detached_features = make("warehouse-detached", Shared, models(DetachedValues, **SHARED))
