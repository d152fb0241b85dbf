"""What SB3's environment shows as three frames side by side, the port's shows one by one: a connector stacks them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

from parity import PPOParams, Task
from parity.frameworks.rllib.env import OnlyAgent

FRAMES, ACTIONS = 3, 3


def seen_in(frames: int) -> spaces.Box:
    return spaces.Box(-5, 5, (frames,), np.float32)


class Cart(gymnasium.Env):
    """It is to stay near 0; how fast it is shows in several frames alone."""

    action_space = spaces.Discrete(ACTIONS)

    def __init__(self, frames: int = FRAMES) -> None:
        self.frames = frames
        mask = spaces.Box(0, 1, (ACTIONS,), np.int8)
        self.observation_space = spaces.Dict({"place": seen_in(frames), "action_mask": mask})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.speed, self.steps = 0.0, 0
        self.seen = [float(self.np_random.uniform(-1, 1))] * FRAMES
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.speed += 0.3 * (int(action) - 1) + float(self.np_random.uniform(-0.1, 0.1))
        self.seen.append(float(np.clip(self.seen[-1] + self.speed, -5, 5)))
        self.steps += 1
        return self._observe(), 1 - abs(self.seen[-1]), abs(self.seen[-1]) > 3, self.steps == 15, {}

    def _observe(self) -> dict[str, Any]:
        mask = np.array([self.seen[-1] > -1, True, self.seen[-1] < 1], np.int8)
        return {"place": np.array(self.seen[-self.frames :], np.float32), "action_mask": mask}


class Network(nn.Module):
    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(FRAMES, 24), nn.Tanh())
        self.policy, self.value = nn.Linear(24, ACTIONS), nn.Linear(24, 1)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(obs["place"])
        return self.policy(hidden), self.value(hidden).squeeze(-1)


class Module(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.network = Network()

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.network(obs)[0].masked_fill(obs["action_mask"] == 0, -1e9)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.network(batch[Columns.OBS])[1]


class Rectified(Module):
    """The mistake: another activation."""

    def setup(self) -> None:
        super().setup()
        self.network.trunk[1] = nn.ReLU()


class Stack(ConnectorV2):
    """Writes the last frames into the episode; the first is repeated."""

    def recompute_output_observation_space(self, observed: Any, acted: Any) -> Any:
        return spaces.Dict(
            {agent: spaces.Dict({**each.spaces, "place": seen_in(FRAMES)}) for agent, each in observed.spaces.items()}
        )

    def first(self, frame: float) -> list[float]:
        return [frame] * FRAMES

    def __call__(self, *, batch: dict[str, Any], episodes: list[Any], **_: Any) -> dict[str, Any]:
        for episode in self.single_agent_episode_iterator(episodes):
            obs = episode.get_observations(-1)
            if len(obs["place"]) == 1:
                frame = float(obs["place"][0])
                frames = [*episode.get_observations(-2)["place"][1:], frame] if len(episode) else self.first(frame)
                new = {**obs, "place": np.array(frames, np.float32)}
                episode.set_observations(new_data=new, at_indices=-1)
        return batch


class FirstAfterZeros(Stack):
    """The mistake: frames that there are none of are zeros."""

    def first(self, frame: float) -> list[float]:
        return [0.0] * (FRAMES - 1) + [frame]


def task(connector: type[Stack] = Stack, module: type[Module] = Module) -> Task:
    return Task(
        id="cart",
        env=Cart,
        network=Network,
        rllib_module=module,
        multi_agent_env=lambda: OnlyAgent(Cart(frames=1)),
        rllib_config=lambda config: config.env_runners(env_to_module_connector=lambda *_, **__: connector()),
        ppo=PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2),
    )
