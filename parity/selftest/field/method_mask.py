"""Discrete observation, mask from a method of the environment. A lift in a house of six floors."""

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task

FLOORS = 6
STATES = FLOORS * (FLOORS + 1)


class Lift(gym.Env):
    """down, up, open. State: floor and floor of the call (or none)."""

    observation_space = spaces.Discrete(STATES)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.floor, self.call, self.t = int(self.np_random.integers(FLOORS)), int(self.np_random.integers(FLOORS)), 0
        return self.state(), {}

    def state(self):
        return self.floor * (FLOORS + 1) + self.call

    def legal_moves(self):
        return [self.floor > 0, self.floor < FLOORS - 1, self.floor == self.call]

    def step(self, action):
        assert self.legal_moves()[action]
        reward = -0.1
        if action == 2:
            reward, self.call = 1.0, int(self.np_random.integers(FLOORS))
        else:
            self.floor += 1 if action == 1 else -1
        self.t += 1
        return self.state(), reward, False, self.t == 20, {}


class LiftWithMasks(Lift):
    def action_masks(self):
        return np.array(self.legal_moves())


class OneHot(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.l1 = nn.Linear(STATES, 32)
        self.l2 = nn.Linear(32, 32)
        self.logits = nn.Linear(32, 3)
        self.value = nn.Linear(32, 1)

    def forward(self, obs):
        h = torch.tanh(self.l2(torch.tanh(self.l1(F.one_hot(obs.long(), STATES).float()))))
        return self.logits(h), self.value(h).squeeze(-1)


class Cabin(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.l1 = nn.Linear(STATES, 32)
        self.l2 = nn.Linear(32, 32)
        self.logits = nn.Linear(32, 3)
        self.value = nn.Linear(32, 1)

    def h(self, batch):
        x = F.one_hot(batch[Columns.OBS]["observations"].long(), STATES).float()
        return torch.tanh(self.l2(torch.tanh(self.l1(x))))

    def _forward(self, batch, **kwargs):
        mask = batch[Columns.OBS]["action_mask"]
        return {Columns.ACTION_DIST_INPUTS: torch.where(mask == 1, self.logits(self.h(batch)), torch.tensor(-1e10))}

    def compute_values(self, batch, embeddings=None):
        return self.value(self.h(batch))[:, 0]


def make(id, module=Cabin, env=Lift, mask="method:legal_moves", **more):
    return Task(
        id=id,
        env=env,
        network=OneHot,
        rllib_module=module,
        mask=mask,
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=4, learning_rate=2e-3, ent_coef=0.005),
        **more,
    )


good = make("lift-method")
good_action_masks = make("lift-action-masks", env=LiftWithMasks, mask=None)


class Rows(Cabin):
    """Looks the row of the first layer up instead of multiplying a one-hot with it: the same function."""

    def h(self, batch):
        s = batch[Columns.OBS]["observations"].long()
        return torch.tanh(self.l2(torch.tanh(self.l1.weight.T[s] + self.l1.bias)))


good_lookup = make("lift-lookup", Rows)


class RawNumber(Cabin):
    """Forgets the one-hot: the state's number is spread over all inputs."""

    def h(self, batch):
        s = batch[Columns.OBS]["observations"].float().unsqueeze(-1).expand(-1, STATES) / STATES
        return torch.tanh(self.l2(torch.tanh(self.l1(s))))


bad_no_one_hot = make("lift-raw", RawNumber)


class HalfBlind(Cabin):
    """An integer division too much: the call is lost."""

    def h(self, batch):
        s = batch[Columns.OBS]["observations"].long() // (FLOORS + 1) * (FLOORS + 1)
        return torch.tanh(self.l2(torch.tanh(self.l1(F.one_hot(s, STATES).float()))))


bad_half_blind = make("lift-half-blind", HalfBlind)


class FrozenFirst(Cabin):
    def setup(self):
        super().setup()
        self.l1.requires_grad_(False)


bad_frozen = make("lift-frozen", FrozenFirst)


class ValueTanh(Cabin):
    def compute_values(self, batch, embeddings=None):
        return torch.tanh(self.value(self.h(batch))[:, 0])


bad_value_tanh = make("lift-value-tanh", ValueTanh)


class Dropout(Cabin):
    def setup(self):
        super().setup()
        self.drop = nn.Dropout(0.1)

    def h(self, batch):
        return self.drop(super().h(batch))


bad_dropout = make("lift-dropout", Dropout)

bad_entropy = make("lift-entropy", rllib_config=lambda c: c.training(entropy_coeff=0.05))
bad_epochs = make("lift-epochs", rllib_config=lambda c: c.training(num_epochs=8))
bad_minibatch = make("lift-minibatch", rllib_config=lambda c: c.training(minibatch_size=128))
bad_clip = make("lift-clip", rllib_config=lambda c: c.training(clip_param=0.3))
bad_grad_clip = make("lift-grad-clip", rllib_config=lambda c: c.training(grad_clip=None))
bad_grad_clip_by = make("lift-grad-clip-by", rllib_config=lambda c: c.training(grad_clip_by="norm"))
bad_lr = make("lift-lr", rllib_config=lambda c: c.training(lr=2e-4))
bad_complete = make("lift-complete", rllib_config=lambda c: c.env_runners(batch_mode="complete_episodes"))
bad_batch = make("lift-batch", rllib_config=lambda c: c.training(train_batch_size_per_learner=64 * 8))
