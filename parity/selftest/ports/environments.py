"""Good ports whose environment is unusual, and parity's own tasks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.selftest.good import (
    MASK,
    SHELVES,
    FlatNet,
    Sorting,
    SortingTogether,
    small_task,
)
from parity.selftest.good import good_port as port
from parity.selftest.register import good_port
from parity.task import Task
from parity.task import registry as tasks
from parity.task.masks import MaskedEnv


def sorting(**options: Any) -> Task:
    """The usual port with other options of its environment, on both sides."""
    return replace(port(), env=lambda: Sorting(**options), multi_agent_env=lambda: SortingTogether(Sorting(**options)))


for _name, _what, _options in (
    ("long-episodes", "episodes of 400 to 600 steps: none ends within a rollout", {"length": (400, 600)}),
    ("short-episodes", "episodes of one step", {"length": (1, 1)}),
    ("no-time-limit", "no time limit", {"limit": False}),
):
    good_port(_what, name=_name)(partial(sorting, **_options))


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


def _lights(action_space: spaces.Space, is_box: bool = False) -> Task:
    return small_task("lights", lambda: _Lights(action_space, is_box), FlatNet)


for _name, _what, _space, _is_box in (
    ("multi-discrete", "a MultiDiscrete action, the mask in info", spaces.MultiDiscrete([3, 4, 2]), False),
    ("multi-binary", "a MultiBinary action", spaces.MultiBinary(4), False),
    (
        "box-observation",
        "a MultiDiscrete action and an observation that is one Box",
        spaces.MultiDiscrete([3, 3]),
        True,
    ),
):
    good_port(_what, name=_name)(partial(_lights, _space, _is_box))


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


def _flat_sorting() -> gymnasium.Env:
    """``Sorting`` with one vector as its observation."""
    inner = Sorting()
    return TransformObservation(inner, lambda seen: seen["label"], inner.observation_space["label"])  # type: ignore[index]


class _FlatTogether(MultiAgentEnv):
    """A Box observation beside its mask, as RLlib's action-masking example has it."""

    def __init__(self) -> None:
        super().__init__()
        self.env = MaskedEnv(_flat_sorting())
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
        self.net = FlatNet(self.observation_space["observations"], self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits, _ = self.net(obs["observations"])
        return {Columns.ACTION_DIST_INPUTS: logits + torch.clamp(torch.log(obs[MASK]), min=-3.4e38)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.net(batch[Columns.OBS]["observations"])[1]


@good_port("one Box beside its mask, own environment and module, as RLlib's example has it")
def box_beside_its_mask() -> Task:
    return small_task("flat", _flat_sorting, FlatNet, multi_agent_env=_FlatTogether, rllib_module=_FlatModule)


def built_in(name: str) -> Task:
    return tasks.load(tasks.resolve(name))


for _name, _what in {
    "tiles": "",
    "tiles-time-limit": "",
    "tiles-resolution": ": the other agent has a fixed policy",
    "tiles-two-learners": ": the other agent changes the world, which SB3's environment does not have",
}.items():
    good_port(f"built-in task {_name}{_what}", name=_name)(partial(built_in, _name))
