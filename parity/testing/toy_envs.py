"""Small masked environments and networks, on which training and checks take seconds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from parity import PPOParams, Task
from parity.task.masks import choices, n_logits


class Maze(gymnasium.Env):
    """Four actions of which a seeded, changing part is legal; the best one scores 1. Episodes last 2 to 7 steps.

    An illegal action raises. ``convention`` says where the mask is shown: "method", "obs", "info" or "other" (a method
    called ``legal``).
    """

    def __init__(self, convention: str = "method", n_actions: int = 4) -> None:
        self.convention = convention
        self.action_space = spaces.Discrete(n_actions)
        parts: dict[str, spaces.Space] = {
            "state": spaces.Box(-1.0, 1.0, (3,), np.float32),
            "last": spaces.Discrete(n_actions),
        }
        if convention == "obs":
            parts["action_mask"] = spaces.Box(0, 1, (n_actions,), np.int8)
        self.observation_space = spaces.Dict(parts)
        if convention in ("method", "other"):
            setattr(self, "action_masks" if convention == "method" else "legal", lambda: self.mask)

    def _view(self) -> tuple[dict[str, Any], dict[str, Any]]:
        n = n_logits(self.action_space)
        self.mask = self.np_random.random(n) < 0.6
        self.mask[self.np_random.integers(n)] = True
        self.best = int(self.np_random.choice(np.flatnonzero(self.mask)))
        state = np.array([self.best / n, self.t / 7, self.np_random.uniform(-1, 1)], np.float32)
        observation: dict[str, Any] = {"state": state, "last": self.last}
        if self.convention == "obs":
            observation["action_mask"] = self.mask.astype(np.int8)
        return observation, {"action_mask": self.mask.copy()} if self.convention == "info" else {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t, self.last, self.length = 0, 0, int(self.np_random.integers(2, 8))
        return self._view()

    def step(self, action: Any) -> Any:
        if not self.mask[action]:
            raise ValueError(f"illegal action {action}")
        reward = float(action == self.best)
        self.t, self.last = self.t + 1, int(action)
        observation, info = self._view()
        return observation, reward, self.t >= self.length, False, info


class Net(nn.Module):
    """One hidden layer over all entries of the observation, cast to float32."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Discrete) -> None:
        super().__init__()
        parts: list[Any] = list(
            observation_space.spaces.values() if isinstance(observation_space, spaces.Dict) else [observation_space]
        )
        self.hidden = nn.Linear(sum(int(np.prod(part.shape)) for part in parts), 16)
        self.policy, self.value = nn.Linear(16, int(action_space.n)), nn.Linear(16, 1)

    def forward(self, obs: Any) -> Any:
        parts = obs.values() if isinstance(obs, dict) else [obs]
        flat = torch.cat([part.reshape(len(part), -1).float() for part in parts], dim=-1)
        features = torch.tanh(self.hidden(flat))
        return self.policy(features), self.value(features).squeeze(-1)


class WrongLogits(Net):
    """One logit more than there are actions."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Discrete) -> None:
        super().__init__(observation_space, spaces.Discrete(int(action_space.n) + 1))


class WrongValues(Net):
    """Values ``[B, 1]``."""

    def forward(self, obs: Any) -> Any:
        logits, values = super().forward(obs)
        return logits, values.unsqueeze(-1)


class Raising(Net):
    def forward(self, obs: Any) -> Any:
        raise KeyError("tiles")


SMALL = PPOParams(n_envs=2, n_steps=16, batch_size=8, n_epochs=2, learning_rate=1e-3)


def maze_task(**changes: Any) -> Task:
    """The maze, with a rollout of 32 steps."""
    fields: dict[str, Any] = {"id": "maze", "env": Maze, "network": Net, "ppo": SMALL, "steps": 64, "eval_episodes": 6}
    return Task(**fields | changes)


class GlobalMaze(Maze):
    """An environment that draws from NumPy's global generator, as many do."""

    def _view(self) -> Any:
        observation, info = super()._view()
        observation["state"][2] = np.random.uniform(-1, 1)
        return observation, info


class OneWay(Maze):
    """Has one legal action in every state, which scores."""

    def _view(self) -> Any:
        observation, info = super()._view()
        self.mask[:] = False
        self.mask[self.best] = True
        return observation, info


class Worded(Maze):
    """Has words as observations, which are no tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Text(8)  # type: ignore[assignment]

    def _view(self) -> Any:
        return "left", super()._view()[1]


class Several(Maze):
    """Actions of several sub-actions, of which the mask allows one option each; the option changes with every step."""

    def __init__(self, action_space: spaces.MultiDiscrete | spaces.MultiBinary) -> None:
        super().__init__()
        self.action_space = action_space  # type: ignore[assignment]
        self.sizes = choices(action_space)
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)  # type: ignore[assignment]

    def _view(self) -> Any:
        self.wanted = [(self.t + k) % size for k, size in enumerate(self.sizes)]
        parts = [np.eye(size, dtype=bool)[w] for size, w in zip(self.sizes, self.wanted, strict=True)]
        self.mask = np.concatenate(parts)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert list(action) == self.wanted
        self.t += 1
        return self._view()[0], 1.0, self.t >= self.length, False, {}

    @staticmethod
    def network(observation_space: spaces.Space, action_space: spaces.Space) -> nn.Module:
        return Net(observation_space, spaces.Discrete(n_logits(action_space)))
