"""A task that is learned in seconds, for the studies of tests and campaigns, which write changed copies of this file."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from parity import PPOParams, Task


class Match(gymnasium.Env):
    """Sixteen steps; one of four actions equals what is shown and pays 1, and one other action is illegal."""

    observation_space = spaces.Discrete(4)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.show(), {"action_mask": self.mask}

    def show(self):
        self.shown = int(self.np_random.integers(4))
        self.mask = np.ones(4, dtype=np.int8)
        self.mask[(self.shown + 1 + self.np_random.integers(3)) % 4] = 0
        return self.shown

    def step(self, action):
        self.steps += 1
        reward = float(action == self.shown)
        return self.show(), reward, self.steps >= 16, False, {"action_mask": self.mask}


class Network(torch.nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.logits = torch.nn.Embedding(int(observation_space.n), int(action_space.n))
        self.value = torch.nn.Embedding(int(observation_space.n), 1)
        torch.nn.init.zeros_(self.logits.weight)

    def forward(self, obs):
        return self.logits(obs), self.value(obs).squeeze(-1)


task = Task(
    id="match",
    env=Match,
    network=Network,
    ppo=PPOParams(n_envs=4, n_steps=64, learning_rate=0.02),
    steps=2048,
    eval_every=1024,
    eval_episodes=20,
    reference={"uniform_legal": 16 / 3, "best": 16.0, "source": "one of three legal actions is right"},
)
