"""An LSTM module: RLlib can, MaskablePPO cannot. Hearing a code of three signs and repeating it."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from parity import PPOParams, Task


class Code(gym.Env):
    observation_space = spaces.Dict(
        {"sign": spaces.Box(0, 1, (5,), np.float32), "action_mask": spaces.Box(0, 1, (4,), np.int8)}
    )
    action_space = spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.code, self.t = self.np_random.integers(0, 3, 3), 0
        return self.observe(), {}

    def observe(self):
        x = np.zeros(5, np.float32)
        x[self.code[self.t] if self.t < 3 else 3] = 1
        x[4] = self.t / 6
        speak = self.t >= 3
        return {"sign": x, "action_mask": np.array([speak, speak, speak, not speak], np.int8)}

    def step(self, a):
        assert self.observe()["action_mask"][a]
        r = float(self.t >= 3 and a == self.code[self.t - 3])
        self.t += 1
        return self.observe(), r, self.t == 6, False, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(5, 16), nn.Tanh())
        self.p, self.v = nn.Linear(16, 4), nn.Linear(16, 1)

    def forward(self, obs):
        h = self.f(obs["sign"])
        return self.p(h), self.v(h).squeeze(-1)


class Repeater(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.lstm = nn.LSTM(5, 16, batch_first=True)
        self.p, self.v = nn.Linear(16, 4), nn.Linear(16, 1)

    def get_initial_state(self):
        return {"h": np.zeros(16, np.float32), "c": np.zeros(16, np.float32)}

    def run(self, batch):
        s = batch[Columns.STATE_IN]
        x, (h, c) = self.lstm(batch[Columns.OBS]["sign"], (s["h"].unsqueeze(0), s["c"].unsqueeze(0)))
        return x, {"h": h.squeeze(0), "c": c.squeeze(0)}

    def _forward(self, batch, **kwargs):
        x, s = self.run(batch)
        return {
            Columns.ACTION_DIST_INPUTS: self.p(x).masked_fill(batch[Columns.OBS]["action_mask"] == 0, -1e9),
            Columns.STATE_OUT: s,
        }

    def _forward_train(self, batch, **kwargs):
        return {**self._forward(batch), Columns.EMBEDDINGS: self.run(batch)[0]}

    def compute_values(self, batch, embeddings=None):
        if embeddings is None:
            embeddings, _ = self.run(batch)
        return self.v(embeddings).squeeze(-1)


def longer(config):
    return config.rl_module(model_config={"max_seq_len": 6})


good = Task(
    id="code-lstm",
    env=Code,
    network=Net,
    rllib_module=Repeater,
    rllib_config=longer,
    ppo=PPOParams(n_envs=4, n_steps=60, batch_size=60, n_epochs=3, learning_rate=1e-3),
)
