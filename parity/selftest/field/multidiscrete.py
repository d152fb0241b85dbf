"""A robot picks a tool and a spot at once: MultiDiscrete, one flat mask of both branches."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task

TOOLS, SPOTS = 3, 4


class Bench(gym.Env):
    """Every spot wants one tool; a spot is worked once, a worn tool rests for a step."""

    observation_space = spaces.Dict(
        {"wants": spaces.Box(0, 1, (SPOTS, TOOLS), np.float32), "open": spaces.Box(0, 1, (SPOTS,), np.float32)}
    )
    action_space = spaces.MultiDiscrete([TOOLS, SPOTS])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.wants = self.np_random.integers(0, TOOLS, SPOTS)
        self.open = np.ones(SPOTS, bool)
        self.worn = -1
        return self.observe(), {}

    def observe(self):
        return {"wants": np.eye(TOOLS, dtype=np.float32)[self.wants], "open": self.open.astype(np.float32)}

    def action_masks(self):
        spots = self.open.copy()
        if not spots.any():
            spots[:] = True
        return np.concatenate([np.arange(TOOLS) != self.worn, spots])

    def step(self, action):
        tool, spot = int(action[0]), int(action[1])
        assert self.action_masks()[tool] and self.action_masks()[TOOLS + spot]
        reward = 1.0 if self.wants[spot] == tool else -0.2
        self.open[spot] = False
        self.worn = tool if self.np_random.random() < 0.5 else -1
        return self.observe(), reward, not self.open.any(), False, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(SPOTS * TOOLS + SPOTS, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
        self.tool, self.spot = nn.Linear(48, TOOLS), nn.Linear(48, SPOTS)
        self.value = nn.Linear(48, 1)

    def forward(self, obs):
        h = self.body(torch.cat([obs["wants"].flatten(1), obs["open"]], -1))
        return torch.cat([self.tool(h), self.spot(h)], -1), self.value(h).squeeze(-1)


class Robot(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.body = nn.Sequential(nn.Linear(SPOTS * TOOLS + SPOTS, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
        self.tool, self.spot = nn.Linear(48, TOOLS), nn.Linear(48, SPOTS)
        self.value = nn.Linear(48, 1)
        self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=[TOOLS, SPOTS])

    def hidden(self, batch):
        obs = batch[Columns.OBS]
        return self.body(torch.cat([obs["wants"].flatten(1), obs["open"]], -1))

    def mask(self, batch):
        return batch[Columns.OBS]["action_mask"] > 0

    def logits(self, batch):
        h = self.hidden(batch)
        return torch.cat([self.tool(h), self.spot(h)], -1)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: torch.where(self.mask(batch), self.logits(batch), -1e8)}

    def compute_values(self, batch, embeddings=None):
        return self.value(self.hidden(batch)).squeeze(-1)


def make(id, module=Robot, **more):
    return Task(
        id=id,
        env=Bench,
        network=Net,
        rllib_module=module,
        ppo=PPOParams(
            n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=1e-3, ent_coef=0.01, clip_range=0.1
        ),
        **more,
    )


good = make("bench-good")


class OneHead(Robot):
    """One linear layer for both branches (RLlib's own way)."""

    def setup(self):
        super().setup()
        del self.tool, self.spot
        self.heads = nn.Linear(48, TOOLS + SPOTS)

    def logits(self, batch):
        return self.heads(self.hidden(batch))


class NetOneHead(Net):
    def __init__(self, observation_space, action_space):
        super().__init__(observation_space, action_space)
        del self.tool, self.spot
        self.heads = nn.Linear(48, TOOLS + SPOTS)

    def forward(self, obs):
        h = self.body(torch.cat([obs["wants"].flatten(1), obs["open"]], -1))
        return self.heads(h), self.value(h).squeeze(-1)


from dataclasses import replace

good_one_head = replace(make("bench-one-head", OneHead), network=NetOneHead)


class SpotMaskFirst(Robot):
    """The mask's branches in the wrong order."""

    def mask(self, batch):
        m = super().mask(batch)
        return torch.cat([m[:, SPOTS:], m[:, :SPOTS]], -1)


bad_mask_order = make("bench-mask-order", SpotMaskFirst)


class FirstBranchOnly(Robot):
    def mask(self, batch):
        m = super().mask(batch)
        return torch.cat([m[:, :TOOLS], torch.ones_like(m[:, TOOLS:])], -1)

    def _forward_exploration(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: torch.where(super().mask(batch), self.logits(batch), -1e8)}


bad_second_unmasked = make("bench-second-unmasked", FirstBranchOnly)


class JointLogp(TorchMultiCategorical):
    """Averages log-probabilities over branches."""

    def logp(self, value):
        return super().logp(value) / len(self._cats)


class MeanBranches(Robot):
    def setup(self):
        super().setup()
        self.action_dist_cls = JointLogp.get_partial_dist_cls(input_lens=[TOOLS, SPOTS])


bad_mean_logp = make("bench-mean-logp", MeanBranches)


class FirstEntropy(TorchMultiCategorical):
    def entropy(self):
        return self._cats[0].entropy()


class EntropyOfTool(Robot):
    def setup(self):
        super().setup()
        self.action_dist_cls = FirstEntropy.get_partial_dist_cls(input_lens=[TOOLS, SPOTS])


bad_entropy_branch = make("bench-entropy-branch", EntropyOfTool)
