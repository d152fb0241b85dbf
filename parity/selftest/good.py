"""The port that bugs are planted in: small, quick, with everything that a port of this kind has.

Single agent: an image, a vector and a number, a changing part of the actions legal, ends by itself or by a time limit.
Multi-agent: the same agent beside a second one with a single action. The module is written as a user would write it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn
from torch.nn.functional import one_hot

from parity.frameworks.rllib.module import FlatNetwork
from parity.task import PPOParams, Task

SORTER, CLERK = "sorter", "clerk"
SHELVES = 6
PIXELS = 8
MASK = "action_mask"


class Sorting(gymnasium.Env):
    """Put a parcel on a shelf: the picture says which one is best, some shelves are full.

    Observation: ``picture`` uint8 ``[3, 8, 8]``, ``label`` float32 ``[4]``, ``last`` the last shelf. The mask comes from
    ``action_masks()``. An illegal action costs its step and does nothing else; ``strict`` refuses it. Episodes last 3 to 7
    steps; half of them are cut by a time limit, with ``limit``. One seed fixes all that is drawn.
    """

    def __init__(self, strict: bool = False, limit: bool = True, length: tuple[int, int] = (3, 7)) -> None:
        self.strict, self.limit, self.lengths = strict, limit, length
        self.action_space = spaces.Discrete(SHELVES)
        self.observation_space = spaces.Dict(
            {
                "picture": spaces.Box(0, 255, (3, PIXELS, PIXELS), np.uint8),
                "label": spaces.Box(-1.0, 1.0, (4,), np.float32),
                "last": spaces.Discrete(SHELVES),
            }
        )

    def action_masks(self) -> np.ndarray:
        return self.mask.copy()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        low, high = self.lengths
        self.length = int(self.np_random.integers(low, high + 1))
        self.is_cut = bool(self.np_random.random() < 0.5) and self.limit
        self.t, self.last = 0, 0
        self._draw()
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        shelf = int(action)
        if not self.mask[shelf] and self.strict:
            raise ValueError(f"shelf {shelf} is full")
        reward = 0.0
        if self.mask[shelf]:
            reward = 3.0 * float(shelf == self.best) - 0.5 * abs(shelf - self.best) / SHELVES
            self.last = shelf
        self.t += 1
        self._draw()
        over = self.t >= self.length
        return self._observation(), reward, over and not self.is_cut, over and self.is_cut, {}

    def _draw(self) -> None:
        self.mask = self.np_random.random(SHELVES) < 0.5
        self.mask[self.np_random.integers(SHELVES)] = True
        self.best = int(self.np_random.choice(np.flatnonzero(self.mask)))
        self.picture = self.np_random.integers(0, 100, (3, PIXELS, PIXELS), np.uint8)
        self.picture[:, self.best, :] += 150
        self.noise = self.np_random.uniform(-1, 1, 2)

    def _observation(self) -> dict[str, Any]:
        label = np.array([self.t / 8, self.best / SHELVES, *self.noise], np.float32)
        return {"picture": self.picture.copy(), "label": label, "last": np.int64(self.last)}


class SortingTogether(MultiAgentEnv):
    """``Sorting`` for agent ``sorter``; ``clerk`` acts at the same time and can do one thing only.

    What bugs change are small methods: ``entries``, ``observed``, ``mask``, ``paid``, ``ends``.
    """

    def __init__(self, env: Any = None) -> None:
        super().__init__()
        self.env = cast(Any, Sorting() if env is None else env)
        self.possible_agents = [SORTER, CLERK]
        self.agents = list(self.possible_agents)
        label = self.env.observation_space["label"]
        self.observation_spaces = {
            SORTER: spaces.Dict(self.entries()),
            CLERK: spaces.Dict({"label": label, MASK: spaces.Box(0, 1, (1,), np.int8)}),
        }
        self.action_spaces = {SORTER: self.env.action_space, CLERK: spaces.Discrete(1)}

    def entries(self) -> dict[str, Any]:
        """Spaces of what the sorter observes."""
        return {**self.env.observation_space.spaces, MASK: spaces.Box(0, 1, (SHELVES,), np.int8)}

    def mask(self) -> np.ndarray:
        return self.env.action_masks().astype(np.int8)

    def observed(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {
            SORTER: {**seen, MASK: self.mask()},
            CLERK: {"label": seen["label"].copy(), MASK: np.ones(1, np.int8)},
        }

    def paid(self, reward: float) -> float:
        return reward

    def ends(self, terminated: bool, truncated: bool) -> tuple[dict[str, bool], dict[str, bool]]:
        return {"__all__": terminated}, {"__all__": truncated}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        seen, _ = self.env.reset(seed=seed)
        return self.observed(seen), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        seen, reward, terminated, truncated, _ = self.env.step(action_dict[SORTER])
        rewards = dict.fromkeys(self.agents, self.paid(float(reward)))
        return self.observed(seen), rewards, *self.ends(terminated, truncated), {}


class SortingNetwork(nn.Module):
    """What SB3 trains: one convolution, one layer for the rest, linear heads."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.pictures = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.numbers = nn.Linear(4 + SHELVES, 16)
        self.policy = nn.Linear(4 * (PIXELS // 2) ** 2 + 16, int(action_space.n))
        self.value = nn.Linear(4 * (PIXELS // 2) ** 2 + 16, 1)
        initialise(self, self.policy, self.value)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = torch.relu(self.pictures(obs["picture"].float() / 255.0)).flatten(1)
        numbers = torch.tanh(self.numbers(torch.cat([obs["label"], one_hot(obs["last"], SHELVES).float()], dim=1)))
        features = torch.cat([pictures, numbers], dim=1)
        return self.policy(features), self.value(features).squeeze(-1)


def initialise(module: nn.Module, logits: nn.Module, value: nn.Module) -> None:
    """Orthogonal, as SB3 does it; the logits larger, so that the policy is not uniform."""
    gains = {logits: 0.5, value: 1.0}
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight, gain=gains.get(layer, 2**0.5))
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class FlatNet(FlatNetwork):
    """Hidden layers over everything that is seen, whatever that is."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(observation_space, action_space)
        initialise(self, self.policy, self.value)


class SorterModule(TorchRLModule, ValueFunctionAPI):
    """The learning agent's module. What bugs change are small methods: ``picture``, ``last``, ``features``, ``masked``."""

    def setup(self) -> None:
        self.eyes = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.counter = nn.Linear(4 + SHELVES, 16)
        self.pi = nn.Linear(4 * (PIXELS // 2) ** 2 + 16, int(self.action_space.n))
        self.vf = nn.Linear(4 * (PIXELS // 2) ** 2 + 16, 1)
        initialise(self, self.pi, self.vf)

    def picture(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return obs["picture"].float() / 255.0

    def last(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        return one_hot(obs["last"].long().reshape(-1), SHELVES).float()

    def features(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        pictures = torch.relu(self.eyes(self.picture(obs))).flatten(1)
        numbers = torch.tanh(self.counter(torch.cat([obs["label"].float(), self.last(obs)], dim=1)))
        return torch.cat([pictures, numbers], dim=1)

    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits.masked_fill(mask == 0, -1e9)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: self.masked(self.pi(self.features(obs)), obs[MASK])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch[Columns.OBS])).squeeze(-1)


class ClerkModule(TorchRLModule, ValueFunctionAPI):
    """Does the one thing that there is to do."""

    def setup(self) -> None:
        self.pi, self.vf = nn.Linear(4, int(self.action_space.n)), nn.Linear(4, 1)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.pi(batch[Columns.OBS]["label"])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(batch[Columns.OBS]["label"]).squeeze(-1)


# Far from PPOConfig's defaults in every field, so that a default that is left in place is another number.
PPO = PPOParams(
    n_envs=4,
    n_steps=64,
    batch_size=64,
    n_epochs=3,
    learning_rate=2e-3,
    gamma=0.95,
    gae_lambda=0.9,
    clip_range=0.15,
    ent_coef=0.01,
    vf_coef=0.4,
    max_grad_norm=0.4,
)


def small_task(id: str, env: Any, network: Any, **port: Any) -> Task:
    """A task of the register, trained for a few rollouts, and the fields of its port."""
    return Task(id=id, env=env, network=network, ppo=PPO, steps=2048, **port)


def good_port() -> Task:
    """The port, with nothing wrong."""
    modules = {"rllib_module": SorterModule, "other_modules": {CLERK: ClerkModule}}
    together = {"multi_agent_env": SortingTogether, "learning_agent": SORTER}
    return small_task("sorting", Sorting, SortingNetwork, **together, **modules)


def with_config(port: Task, edit: Callable[[PPOConfig], PPOConfig]) -> Task:
    """``port`` with a further change of its RLlib configuration, after those that it has."""
    before: Any = port.rllib_config
    return replace(port, rllib_config=edit if before is None else lambda config: edit(before(config)))


def with_modules(config: PPOConfig, classes: Mapping[str, type], agents: Mapping[str, str] | None = None) -> PPOConfig:
    """``config`` with modules of these classes, by id; ``agents``: by id the agent whose spaces the module has."""
    env = SortingTogether()
    specs = {
        name: RLModuleSpec(
            module_class=module,
            observation_space=env.observation_spaces[agents[name]] if agents else None,
            action_space=env.action_spaces[agents[name]] if agents else None,
        )
        for name, module in classes.items()
    }
    return config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))


def with_class(port: Task, cls: type) -> Task:
    """``port`` with its module, environment, learner, callbacks or a connector replaced by ``cls``, whichever it derives from.

    A connector says in its attribute ``pipeline`` where it belongs: an argument of ``env_runners()`` or of ``training()``.
    """
    if issubclass(cls, MultiAgentEnv):
        return replace(port, multi_agent_env=cls)
    if issubclass(cls, ConnectorV2):
        pipeline = {cls.pipeline: lambda *_, **__: cls()}  # type: ignore[attr-defined]
        is_learners = "learner_connector" in pipeline
        return with_config(port, lambda c: c.training(**pipeline) if is_learners else c.env_runners(**pipeline))
    if issubclass(cls, Learner):
        return with_config(port, lambda config: config.learners(learner_class=cls))
    if issubclass(cls, RLlibCallback):
        return with_config(port, lambda config: config.callbacks(cls))
    # TorchRLModule, whether it is a ValueFunctionAPI or not.
    return replace(port, rllib_module=cls)
