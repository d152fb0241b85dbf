"""What all probes have in common: a finite environment, a network without hidden layers, hyperparameters, a task."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from parity import PPOParams, Task
from parity.probes.claims import State

# 128 steps make a rollout; whole episodes of one or two steps fit into it.
PPO = PPOParams(n_envs=8, n_steps=16, batch_size=64, n_epochs=4, learning_rate=0.05, gamma=0.9)


def ppo(**changes: Any) -> PPOParams:
    """The probes' hyperparameters with some of them changed."""
    return dataclasses.replace(PPO, **changes)


def probe_task(name: str, env: type[ProbeEnv], uniform_legal: float, best: float, source: str, **settings: Any) -> Task:
    """The task ``probe-NAME``, with what all probes have in common.

    Args:
        uniform_legal: mean return of uniform legal play.
        best: mean return of the best policy.
        source: how both were computed.
        settings: further fields of the task.
    """
    reference = {"uniform_legal": uniform_legal, "best": best, "source": source}
    common = {"network": TableNetwork, "ppo": PPO, "eval_every": 512, "reference": reference}
    return Task(id=f"probe-{name}", env=env, **common | settings)


class ProbeEnv(gymnasium.Env):
    """A finite environment. Chance only picks the start, each of ``starts`` equally likely, from the seed.

    The observation is ``seen``, one-hot: float32 ``[n_seen]``. The mask, of ``action_masks()``, is ``mask``: bool
    ``[n_actions]``. Subclasses set both in ``begin`` and ``act``.
    """

    n_seen: ClassVar[int]
    n_actions: ClassVar[int]
    starts: ClassVar[int] = 1

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (self.n_seen,), np.float32)
        self.action_space = spaces.Discrete(self.n_actions)
        self.seen = 0
        self.mask = np.ones(self.n_actions, bool)

    def begin(self, start: int) -> None:
        """Starts an episode."""

    def act(self, action: int) -> tuple[float, bool, bool]:
        """One step: reward, terminated, truncated."""
        raise NotImplementedError

    def action_masks(self) -> np.ndarray:
        return self.mask.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode; ``options={"start": k}`` picks its start, for exact enumeration."""
        super().reset(seed=seed)
        self.begin((options or {}).get("start", int(self.np_random.integers(self.starts))))
        return one_hot(self.seen, self.n_seen), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, terminated, truncated = self.act(int(action))
        return one_hot(self.seen, self.n_seen), reward, terminated, truncated, {}


def one_hot(index: int, n: int) -> np.ndarray:
    """float32 ``[n]``."""
    return np.eye(n, dtype=np.float32)[index]


def legal(n: int, *actions: int) -> np.ndarray:
    """A mask that allows these of ``n`` actions: bool ``[n]``."""
    return np.isin(np.arange(n), actions)


def state(env: type[ProbeEnv], seen: int, *actions: int) -> State:
    """Observation ``seen`` of ``env`` with these actions legal, all of them where none is named."""
    n = env.n_actions
    return State(one_hot(seen, env.n_seen), legal(n, *actions) if actions else np.ones(n, bool))


class TableNetwork(nn.Module):
    """One linear layer for the logits, one for the value: over one-hot observations, a table of each.

    Without hidden layers nothing is shared between observations, so an answer that is wrong is not the network's.
    """

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        super().__init__()
        assert observation_space.shape is not None and isinstance(action_space, spaces.Discrete)
        self.policy = nn.Linear(observation_space.shape[0], int(action_space.n), bias=False)
        self.value = nn.Linear(observation_space.shape[0], 1, bias=False)
        for layer in (self.policy, self.value):
            nn.init.orthogonal_(layer.weight, gain=0.01)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits float32 ``[B, n_actions]``, values float32 ``[B]``, from float32 ``[B, n_seen]``."""
        return self.policy(obs), self.value(obs).squeeze(-1)
