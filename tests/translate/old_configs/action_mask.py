"""A custom model of ray's action-mask shape, RLlib's own network inside it; a dict in the names of ray 2.0."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.models import ModelCatalog
from ray.rllib.models.torch.fcnet import FullyConnectedNetwork
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.tune.registry import register_env
from torch import nn


class Doors(gymnasium.Env):
    """Five doors, some of them closed; what is behind each is seen before."""

    def __init__(self, config=None):
        shown = spaces.Box(-1, 1, (6,), np.float32)
        self.observation_space = spaces.Dict({"observations": shown, "action_mask": spaces.Box(0, 1, (5,), np.int8)})
        self.action_space = spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def look(self):
        self.open = (self.np_random.random(5) < 0.6).astype(np.int8)
        self.open[self.np_random.integers(5)] = 1
        self.seen = self.np_random.uniform(-1, 1, 6).astype(np.float32)
        return {"observations": self.seen, "action_mask": self.open}

    def step(self, action):
        self.t += 1
        reward = float(self.seen[int(action)]) if self.open[int(action)] else -1.0
        return self.look(), reward, self.t >= 12, False, {}


class MaskedModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, **given):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name, **given)
        nn.Module.__init__(self)
        shown = getattr(obs_space, "original_space", obs_space)["observations"]
        self.inside = FullyConnectedNetwork(shown, action_space, num_outputs, model_config, name + "_inside")
        self.no_masking = model_config["custom_model_config"].get("no_masking", False)

    def forward(self, input_dict, state, seq_lens):
        logits, _ = self.inside({"obs": input_dict["obs"]["observations"]})
        if self.no_masking:
            return logits, state
        mask = torch.log(input_dict["obs"]["action_mask"])
        return logits + torch.clamp(mask, min=torch.finfo(torch.float32).min), state

    def value_function(self):
        return self.inside.value_function()


register_env("doors", lambda config: Doors(config))
ModelCatalog.register_custom_model("masked", MaskedModel)

config = {
    "env": "doors",
    "framework": "torch",
    "num_workers": 0,
    "num_envs_per_worker": 2,
    "gamma": 0.95,
    "lambda": 0.9,
    "lr": 1e-3,
    "kl_coeff": 0.0,
    "clip_param": 0.2,
    "vf_clip_param": 100.0,
    "vf_loss_coeff": 0.5,
    "grad_clip": 0.5,
    "train_batch_size": 256,
    "sgd_minibatch_size": 64,
    "num_sgd_iter": 4,
    "model": {
        "custom_model": "masked",
        "custom_model_config": {"no_masking": False},
        "fcnet_hiddens": [32],
        "fcnet_activation": "relu",
        "vf_share_layers": True,
    },
}
