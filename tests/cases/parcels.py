"""Parcels on a belt, shown in every layout that people write: nested, by method or by info, wrapped by RLlib's example or not.

Four bays of which some are closed; a parcel goes best to the open bay whose number is nearest to its weight.
"""

from __future__ import annotations

from collections.abc import Callable
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

from parity import PPOParams, Task

BAYS, LENGTH = 4, 9
WEIGHT = spaces.Box(0, BAYS, (1,), np.float64)
LABEL = spaces.Box(0, 255, (2, 2), np.uint8)
KIND = spaces.Discrete(3)
OPEN = spaces.MultiBinary(BAYS)
TUPLE = spaces.Tuple((WEIGHT, spaces.Dict({"label": LABEL, "kind": KIND})))
DICT = spaces.Dict({"parcel": spaces.Dict({"weight": WEIGHT, "label": LABEL}), "kind": KIND})


class Belt(gymnasium.Env):
    """``layout``: the observation's space without the mask; ``place``: where the mask is, as `Task.mask` says it."""

    def __init__(self, layout: spaces.Space, place: str = "method:action_masks", actions: Any = None) -> None:
        self.layout, self.place = layout, place
        self.observation_space = layout
        if place.startswith("obs:"):
            assert isinstance(layout, spaces.Dict)
            self.observation_space = spaces.Dict({**layout.spaces, place.removeprefix("obs:"): OPEN})
        self.action_space = actions or spaces.Discrete(BAYS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._next()

    def step(self, action: Any) -> Any:
        assert isinstance(action, np.integer | np.ndarray)
        bays = np.flatnonzero(action) if np.ndim(action) else [int(action)]
        assert self.open[bays].all()
        paid = float(1 - min((abs(bay - self.weight) for bay in bays), default=BAYS) / BAYS)
        self.steps += 1
        observation, info = self._next()
        return observation, paid, self.steps == LENGTH and self.kind == 0, self.steps == LENGTH, info

    def _next(self) -> Any:
        self.weight = self.np_random.random() * BAYS
        self.label = self.np_random.integers(0, 256, (2, 2), dtype=np.uint8)
        self.kind = int(self.np_random.integers(3))
        self.open = np.ones(BAYS, np.int8)
        self.open[self.np_random.choice(BAYS, 2, replace=False)] = 0
        observation = self._fill(self.layout)
        key = self.place.partition(":")[2]
        if self.place.startswith("obs:"):
            observation[key] = self.open
        return observation, {key: self.open} if self.place.startswith("info:") else {}

    def _fill(self, space: spaces.Space) -> Any:
        if isinstance(space, spaces.Dict):
            return {name: self._fill(part) for name, part in space.spaces.items()}
        if isinstance(space, spaces.Tuple):
            return tuple(map(self._fill, space.spaces))
        if space == WEIGHT:
            return np.array([self.weight])
        return self.label if space == LABEL else self.kind

    def action_masks(self) -> np.ndarray:
        if isinstance(self.action_space, spaces.MultiBinary):
            return np.stack([np.ones(BAYS), self.open], axis=-1).reshape(-1)
        return self.open


def numbers(obs: Any) -> torch.Tensor:
    """All numbers of an observation side by side, float32 ``[B, n]``."""
    if isinstance(obs, dict):
        return torch.cat([numbers(obs[name]) for name in sorted(obs)], -1)
    if isinstance(obs, tuple):
        return torch.cat([numbers(part) for part in obs], -1)
    return obs.reshape(len(obs), -1).float() / (255 if obs.dtype == torch.uint8 else 1)


class Network(nn.Module):
    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.LazyLinear(16), nn.Tanh())
        self.trunk(numbers(_zeros(observation_space)))
        outputs = 2 * BAYS if isinstance(action_space, spaces.MultiBinary) else BAYS
        self.policy, self.value = nn.Linear(16, outputs), nn.Linear(16, 1)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(numbers(obs))
        return self.policy(hidden), self.value(hidden).squeeze(-1)


def _zeros(space: spaces.Space) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _zeros(part) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(map(_zeros, space.spaces))
    return torch.zeros(1, *(space.shape or ()), dtype=torch.uint8 if space == LABEL else torch.float32)


class Module(TorchRLModule, ValueFunctionAPI):
    """It reads ``{"observations": …, "action_mask": …}``."""

    def setup(self) -> None:
        self.network = Network(self.observation_space["observations"], self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        logits = self.network(obs["observations"])[0]
        return {Columns.ACTION_DIST_INPUTS: torch.where(obs["action_mask"] > 0, logits, -1e8)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.network(batch[Columns.OBS]["observations"])[1]


class HalfBlind(Module):
    """The mistake: one entry, deep inside, never reaches the network."""

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        parcel = obs["observations"]["parcel"]
        blind = {**obs["observations"], "parcel": {**parcel, "label": torch.zeros_like(parcel["label"])}}
        return super()._forward({**batch, Columns.OBS: {**obs, "observations": blind}})


class Wrapped(MultiAgentEnv):
    """The belt in RLlib's example layout, by the user's own hand."""

    def __init__(self, layout: spaces.Space) -> None:
        super().__init__()
        self.belt = Belt(layout)
        self.possible_agents = self.agents = ["hand"]
        self.observation_spaces = {"hand": spaces.Dict({"observations": layout, "action_mask": OPEN})}
        self.action_spaces = {"hand": self.belt.action_space}

    def _shown(self, observation: Any) -> Any:
        return {"hand": {"observations": observation, "action_mask": self.belt.open}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        observation, _ = self.belt.reset(seed=seed)
        return self._shown(observation), {}

    def step(self, actions: dict[str, Any]) -> Any:
        observation, paid, terminated, truncated, _ = self.belt.step(actions["hand"])
        ends = {"__all__": terminated}, {"__all__": truncated and not terminated}
        return self._shown(observation), {"hand": paid}, *ends, {}


def task(id: str, env: Callable[[], gymnasium.Env], **fields: Any) -> Task:
    ppo = PPOParams(n_envs=4, n_steps=32, batch_size=64, n_epochs=2)
    return Task(id=id, env=env, network=Network, ppo=ppo, steps=512, eval_every=256, eval_episodes=4, **fields)


PORTS = {
    "tuple-by-method": task("tuple", lambda: Belt(TUPLE)),
    "tuple-brought": task("tuple-brought", lambda: Belt(TUPLE), rllib_module=Module),
    "dict-by-info": task("dict-info", lambda: Belt(DICT, "info:open"), mask="info:open"),
    "dict-under-another-key": task("dict-key", lambda: Belt(DICT, "obs:open"), mask="obs:open"),
    "number-by-method": task("number", lambda: Belt(KIND)),
    "image-by-method": task("image", lambda: Belt(LABEL), rllib_module=Module),
    "multi-binary": task("multi-binary", lambda: Belt(DICT, actions=spaces.MultiBinary(BAYS))),
    "wrapped-dict": task(
        "wrapped-dict", lambda: Belt(DICT), multi_agent_env=lambda: Wrapped(DICT), rllib_module=Module
    ),
    "wrapped-dict-bare": task("wrapped-dict-bare", lambda: Belt(DICT), multi_agent_env=lambda: Wrapped(DICT)),
    "wrapped-tuple": task(
        "wrapped-tuple", lambda: Belt(TUPLE), multi_agent_env=lambda: Wrapped(TUPLE), rllib_module=Module
    ),
    "wrapped-number": task("wrapped-number", lambda: Belt(KIND), multi_agent_env=lambda: Wrapped(KIND)),
}
