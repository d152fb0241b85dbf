"""A photographer (image and vector, masked) and a focus agent with a single action, as in a forum's port."""

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

G = 3


class Photo(gym.Env):
    """A grid of nine tiles of which some are bright: uncover bright ones, each at most once; six turns."""

    observation_space = spaces.Dict(
        {
            "picture": spaces.Box(0, 255, (1, 12, 12), np.uint8),
            "seen": spaces.Box(0, 1, (G * G,), np.float32),
            "action_mask": spaces.Box(0, 1, (G * G,), np.int8),
        }
    )
    action_space = spaces.Discrete(G * G)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bright = self.np_random.random(G * G) < 0.4
        noise = self.np_random.integers(0, 120, (12, 12))
        lift = np.kron(self.bright.reshape(G, G), np.ones((4, 4))) * 100
        self.picture = (noise + lift).astype(np.uint8)[None]
        self.free = np.ones(G * G, bool)
        return self.observe(), {}

    def observe(self):
        return {
            "picture": self.picture,
            "seen": (~self.free).astype(np.float32),
            "action_mask": self.free.astype(np.int8),
        }

    def step(self, action):
        assert self.free[action]
        self.free[action] = False
        reward = 1.0 if self.bright[action] else -0.5
        return self.observe(), reward, int((~self.free).sum()) == 6, False, {}


class Eye(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 8, 4, 4), nn.ReLU(), nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(G * G, 16), nn.ReLU())

    def forward(self, obs):
        return torch.cat([self.conv(obs["picture"].float() / 255), self.dense(obs["seen"])], -1)


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.eye = Eye()
        self.p, self.v = nn.Linear(8 * 9 + 16, G * G), nn.Linear(8 * 9 + 16, 1)

    def forward(self, obs):
        h = self.eye(obs)
        return self.p(h), self.v(h).squeeze(-1)


class Studio(MultiAgentEnv):
    def __init__(self, config=None):
        super().__init__()
        self.photo = Photo()
        self.agents = self.possible_agents = ["tiles", "focus"]
        self.observation_spaces = {
            "tiles": self.photo.observation_space,
            "focus": spaces.Dict(
                {"seen": spaces.Box(0, 1, (G * G,), np.float32), "action_mask": spaces.Box(0, 1, (1,), np.int8)}
            ),
        }
        self.action_spaces = {"tiles": self.photo.action_space, "focus": spaces.Discrete(1)}

    def both(self, o):
        return {"tiles": o, "focus": {"seen": o["seen"], "action_mask": np.ones(1, np.int8)}}

    def reset(self, *, seed=None, options=None):
        o, _ = self.photo.reset(seed=seed)
        return self.both(o), {}

    def step(self, actions):
        o, r, end, cut, _ = self.photo.step(actions["tiles"])
        return self.both(o), {"tiles": r, "focus": r}, {"__all__": end}, {"__all__": cut}, {}


class Photographer(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.eye = Eye()
        self.p, self.v = nn.Linear(8 * 9 + 16, G * G), nn.Linear(8 * 9 + 16, 1)

    def look(self, obs):
        return self.eye(obs)

    def _forward(self, batch, **kwargs):
        o = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.p(self.look(o)).masked_fill(o["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.look(batch[Columns.OBS])).squeeze(-1)


class Focus(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.net = nn.Linear(G * G, 2)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.net(batch[Columns.OBS]["seen"])[..., :1]}

    def compute_values(self, batch, embeddings=None):
        return self.net(batch[Columns.OBS]["seen"])[..., 1]


def only_tiles(config):
    return config.multi_agent(policies_to_train=["tiles"])


def make(id, env=Studio, module=Photographer, config=None, **more):
    return Task(
        id=id,
        env=Photo,
        network=Net,
        multi_agent_env=env,
        rllib_module=module,
        other_modules={"focus": Focus},
        rllib_config=config,
        ppo=PPOParams(n_envs=2, n_steps=96, batch_size=48, n_epochs=3, learning_rate=1e-3),
        **more,
    )


good = make("studio-good")
good_only_tiles = make("studio-only-tiles", config=only_tiles)


class IntegerImage(Photographer):
    """//: every pixel becomes 0."""

    def look(self, obs):
        return self.eye({**obs, "picture": obs["picture"] // 255})


bad_integer_division = make("studio-integer", module=IntegerImage)


class ScaledTwice(Photographer):
    def look(self, obs):
        return self.eye({**obs, "picture": obs["picture"].float() / 255})


bad_scaled_twice = make("studio-scaled-twice", module=ScaledTwice)


class HalfImage(Photographer):
    """Looks at a picture of half the resolution, blown up again."""

    def look(self, obs):
        x = nn.functional.avg_pool2d(obs["picture"].float(), 2)
        return self.eye({**obs, "picture": nn.functional.interpolate(x, scale_factor=2)})


bad_half_resolution = make("studio-half", module=HalfImage)


class NoEye(Photographer):
    """Convolutions 'pre-trained', hence under no_grad."""

    def look(self, obs):
        with torch.no_grad():
            image = self.eye.conv(obs["picture"].float() / 255)
        return torch.cat([image, self.eye.dense(obs["seen"])], -1)


bad_no_grad_eye = make("studio-nograd", module=NoEye)


class Lenient(Studio):
    """Nothing happens where a tile is uncovered already: the agent may not know that."""

    def step(self, actions):
        if self.photo.free[actions["tiles"]]:
            return super().step(actions)
        go_on = {"__all__": False}
        return self.both(self.photo.observe()), {"tiles": 0.0, "focus": 0.0}, go_on, go_on, {}


class FocusMask(Lenient):
    """The tile agent's mask is made in the other agent's size and blown up: everything is always legal."""

    def both(self, o):
        out = super().both(o)
        out["tiles"] = {**o, "action_mask": np.broadcast_to(out["focus"]["action_mask"], (G * G,)).astype(np.int8)}
        return out


bad_all_legal = make("studio-all-legal", FocusMask)


class OneBuffer(Lenient):
    """One array for the mask, handed out by a thread-safe-looking cache: the mask of the first step stays for ever."""

    def both(self, o):
        out = super().both(o)
        if not hasattr(self, "mask") or o["seen"].sum() == 0:
            self.mask = o["action_mask"].copy()
        out["tiles"] = {**o, "action_mask": self.mask}
        return out


bad_mask_of_start = make("studio-mask-of-start", OneBuffer)
bad_wrong_trained = make("studio-wrong-trained", config=lambda c: c.multi_agent(policies_to_train=["focus"]))
