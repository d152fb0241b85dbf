"""What ports bring of their own: modules and a multi-agent environment that know nothing of parity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity import Task, frameworks
from parity.errors import CannotStart
from parity.frameworks.rllib.config import Port, build_port
from parity.testing.toy_envs import Maze, maze_task


class OwnModule(TorchRLModule, ValueFunctionAPI):
    """A port's own module: it knows nothing of parity."""

    def setup(self) -> None:
        size = int(spaces.flatdim(self.observation_space["state"]))
        self.pi, self.vf = torch.nn.Linear(size, self.action_space.n), torch.nn.Linear(size, 1)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch["obs"]
        logits = torch.where(obs["action_mask"].bool(), self.pi(obs["state"]), torch.tensor(-1e9))
        return {"action_dist_inputs": logits}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(batch["obs"]["state"]).squeeze(-1)


class HelperModule(OwnModule):
    """The same for an agent that sees nothing but a tick."""

    def setup(self) -> None:
        self.pi, self.vf = torch.nn.Linear(1, int(self.action_space.n)), torch.nn.Linear(1, 1)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"action_dist_inputs": self.pi(batch["obs"]["tick"])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(batch["obs"]["tick"]).squeeze(-1)


class Pair(MultiAgentEnv):
    """The maze for ``walker``; ``helper`` acts at the same time, with ``options`` options, and earns 100 a step."""

    def __init__(self, options: int = 1, masked: bool = True, declared: bool = True) -> None:
        super().__init__()
        self.maze, self.options, self.masked = Maze("obs"), options, masked
        helper: dict[str, spaces.Space] = {"tick": spaces.Box(0, 1, (1,), np.float32)}
        if masked:
            helper["action_mask"] = spaces.Box(0, 1, (options,), np.int8)
        if declared:
            self.possible_agents = ["walker", "helper"]
            self.agents = list(self.possible_agents)
            self.observation_spaces = {"walker": self.maze.observation_space, "helper": spaces.Dict(helper)}
            self.action_spaces = {"walker": self.maze.action_space, "helper": spaces.Discrete(options)}

    def _both(self, walker: Any) -> dict[str, Any]:
        helper = {"tick": np.zeros(1, np.float32)}
        return {
            "walker": walker,
            "helper": helper | ({"action_mask": np.ones(self.options, np.int8)} if self.masked else {}),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._both(self.maze.reset(seed=seed)[0]), {}

    def step(self, action_dict: dict[str, Any]) -> Any:
        observation, reward, terminated, _, _ = self.maze.step(action_dict["walker"])
        rewards = {"walker": reward, "helper": 100.0}
        return self._both(observation), rewards, {"__all__": terminated}, {"__all__": False}, {}


@contextmanager
def opened(task: Task) -> Iterator[Any]:
    session = frameworks.get("rllib").open(task, 0, device="cpu", threads=1)
    try:
        yield session
    finally:
        session.close()


def port(**fields: Any) -> Port:
    return build_port(maze_task(**fields), seed=0, device="cpu")


def refusal(**fields: Any) -> str:
    with pytest.raises(CannotStart) as stopped:
        frameworks.get("rllib").effective(maze_task(**fields), device="cpu", threads=1)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)
