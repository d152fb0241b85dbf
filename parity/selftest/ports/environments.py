"""Good ports whose environment is unusual, and parity's own tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity.selftest.good import (
    MASK,
    PPO,
    SHELVES,
    Sorting,
    SortingTogether,
    initialise,
)
from parity.selftest.good import good_port as port
from parity.selftest.register import good_port
from parity.task import Task
from parity.task import registry as tasks
from parity.task.masks import MaskedEnv


@good_port("episodes of 400 to 600 steps: none ends within a rollout")
def long_episodes() -> Task:
    env = lambda: Sorting(length=(400, 600))  # noqa: E731
    return replace(port(), env=env, multi_agent_env=lambda: SortingTogether(env()))


@good_port("episodes of one step")
def short_episodes() -> Task:
    env = lambda: Sorting(length=(1, 1))  # noqa: E731
    return replace(port(), env=env, multi_agent_env=lambda: SortingTogether(env()))


@good_port("no time limit")
def no_time_limit() -> Task:
    env = lambda: Sorting(limit=False)  # noqa: E731
    return replace(port(), env=env, multi_agent_env=lambda: SortingTogether(env()))


class _Lights(gymnasium.Env):
    """Switch what ``wanted`` says; some switches are out of order. The mask comes in ``info``."""

    def __init__(self, action_space: spaces.Space, is_box: bool = False) -> None:
        self.action_space, self._is_box = action_space, is_box
        self._sizes = [2] * action_space.n if isinstance(action_space, spaces.MultiBinary) else list(action_space.nvec)  # type: ignore[attr-defined]
        box = spaces.Box(-1.0, 1.0, (len(self._sizes) + 2,), np.float32)
        self.observation_space = box if is_box else spaces.Dict({"wanted": box, "mode": spaces.MultiDiscrete([2, 3])})

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        self.wanted = np.array([self.np_random.integers(size) for size in self._sizes])
        masks = [self.np_random.random(size) < 0.7 for size in self._sizes]
        for mask, wanted in zip(masks, self.wanted, strict=True):
            mask[wanted] = True
        box = np.concatenate([self.wanted / 3, [self.t / 8, self.np_random.uniform(-1, 1)]]).astype(np.float32)
        info = {"action_mask": np.concatenate(masks)}
        return (box if self._is_box else {"wanted": box, "mode": np.array([self.t % 2, self.t % 3])}), info

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.integers(2, 8))
        return self._seen()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float((np.asarray(action) == self.wanted).mean())
        self.t += 1
        seen, info = self._seen()
        return seen, reward, self.t >= self.length, False, info


class _LightsNetwork(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        n = 2 * action_space.n if isinstance(action_space, spaces.MultiBinary) else int(action_space.nvec.sum())
        parts: list[Any] = (
            list(observation_space.values()) if isinstance(observation_space, spaces.Dict) else [observation_space]
        )
        self.hidden = nn.Linear(sum(int(np.prod(part.shape)) for part in parts), 16)
        self.policy, self.value = nn.Linear(16, n), nn.Linear(16, 1)
        initialise(self, self.policy, self.value)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [part.float() for part in obs.values()] if isinstance(obs, dict) else [obs]
        hidden = torch.tanh(self.hidden(torch.cat(parts, dim=-1)))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


def _lights(action_space: spaces.Space, is_box: bool = False) -> Task:
    return Task(id="lights", env=lambda: _Lights(action_space, is_box), network=_LightsNetwork, ppo=PPO, steps=2048)


@good_port("a MultiDiscrete action, the mask in info")
def multi_discrete() -> Task:
    return _lights(spaces.MultiDiscrete([3, 4, 2]))


@good_port(
    "the environment draws from NumPy's global generator and its action space, as sb3-contrib's InvalidActionEnv"
)
def global_generators() -> Task:
    return replace(_lights(spaces.MultiDiscrete([3, 4, 2])), env=_UnseededLights)


class _UnseededLights(_Lights):
    def __init__(self) -> None:
        super().__init__(spaces.MultiDiscrete([3, 4, 2]))

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        seen, info = super()._seen()
        mask = np.random.random(9) < 0.7
        mask[np.array([0, 3, 7]) + self.action_space.sample()] = True
        seen["wanted"][-1] = np.random.uniform(-1, 1)
        return seen, {**info, MASK: mask}


@good_port("a MultiBinary action")
def multi_binary() -> Task:
    return _lights(spaces.MultiBinary(4))


@good_port("a MultiDiscrete action and an observation that is one Box")
def box_observation() -> Task:
    return _lights(spaces.MultiDiscrete([3, 3]), is_box=True)


class _FlatSorting(gymnasium.Env):
    """``Sorting`` with one vector as its observation."""

    def __init__(self) -> None:
        self.inner = Sorting()
        self.action_space = self.inner.action_space
        self.observation_space = spaces.Box(-1.0, 1.0, (4,), np.float32)

    def action_masks(self) -> np.ndarray:
        return self.inner.action_masks()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        seen, info = self.inner.reset(seed=seed)
        return seen["label"], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, *rest = self.inner.step(action)
        return seen["label"], *rest


class _FlatNetwork(nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.hidden, self.policy, self.value = nn.Linear(4, 16), nn.Linear(16, SHELVES), nn.Linear(16, 1)
        initialise(self, self.policy, self.value)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.hidden(obs))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


class _FlatTogether(MultiAgentEnv):
    """A Box observation beside its mask, as RLlib's action-masking example has it."""

    def __init__(self) -> None:
        super().__init__()
        self.env = MaskedEnv(_FlatSorting())
        self.possible_agents = ["only"]
        self.agents = ["only"]
        space = {"observations": self.env.observation_space, MASK: spaces.Box(0.0, 1.0, (SHELVES,), np.float32)}
        self.observation_spaces = {"only": spaces.Dict(space)}
        self.action_spaces = {"only": self.env.action_space}

    def _shown(self, seen: Any) -> dict[str, Any]:
        return {"only": {"observations": seen, MASK: self.env.action_masks().astype(np.float32)}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        seen, _ = self.env.reset(seed=seed)
        return self._shown(seen), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        seen, reward, terminated, truncated, _ = self.env.step(action_dict["only"])
        return self._shown(seen), {"only": reward}, {"__all__": terminated}, {"__all__": truncated}, {}


class _FlatModule(TorchRLModule, ValueFunctionAPI):
    def setup(self) -> None:
        self.body, self.pi, self.vf = nn.Linear(4, 16), nn.Linear(16, SHELVES), nn.Linear(16, 1)
        initialise(self, self.pi, self.vf)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.pi(torch.tanh(self.body(obs["observations"])))
        return {Columns.ACTION_DIST_INPUTS: logits + torch.clamp(torch.log(obs[MASK]), min=-3.4e38)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(torch.tanh(self.body(batch[Columns.OBS]["observations"]))).squeeze(-1)


@good_port("one Box beside its mask, own environment and module, as RLlib's example has it")
def box_beside_its_mask() -> Task:
    return Task(
        id="flat",
        env=_FlatSorting,
        network=_FlatNetwork,
        ppo=PPO,
        steps=2048,
        multi_agent_env=_FlatTogether,
        rllib_module=_FlatModule,
    )


def _built_in(name: str) -> Task:
    return tasks.load(tasks.resolve(name))


@good_port("built-in task tiles")
def tiles() -> Task:
    return _built_in("tiles")


@good_port("built-in task tiles-time-limit")
def tiles_time_limit() -> Task:
    return _built_in("tiles-time-limit")


@good_port("built-in task tiles-resolution: the other agent has a fixed policy")
def tiles_resolution() -> Task:
    return _built_in("tiles-resolution")


@good_port("built-in task tiles-two-learners: the other agent changes the world, which SB3's environment does not have")
def tiles_two_learners() -> Task:
    return _built_in("tiles-two-learners")
