"""How fast a task can be trained at all: its environments, one batched forward pass a step, the update's mathematics, and
nothing around them. The same steps, minibatches and epochs as the frameworks; no framework is imported.

It is a lower bound of the time, not an implementation: a truncated episode counts as ended, nothing is logged or audited.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from torch.nn import functional

from parity.errors import CannotStart
from parity.frameworks.base import SEED_STRIDE, Iteration
from parity.frameworks.device import synchronizer
from parity.frameworks.network import NetworkFactory, build_network, network_input, stack_observations
from parity.task import Task
from parity.task.masks import MaskedEnv, choices

_ILLEGAL = -1e8


class Game(Protocol):
    """One sub-environment. ``shown``: by player, what it observes now and its mask, bool ``[n_logits]``."""

    shown: list[tuple[Any, np.ndarray]]

    def step(self, actions: Sequence[Any]) -> tuple[list[float], bool]:
        """Plays an action of each player; returns their rewards and whether the episode ended, which then began anew."""


class _Unaudited(MaskedEnv):
    """An environment with its mask in one place, whose actions nobody counts."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._take(observation, info, bool(terminated or truncated)), reward, terminated, truncated, info


class _Alone:
    """A task's single-agent environment."""

    def __init__(self, task: Task, seed: int) -> None:
        self.env = _Unaudited(task.env(), task.mask)
        self._show(self.env.reset(seed=seed)[0])

    def step(self, actions: Sequence[Any]) -> tuple[list[float], bool]:
        observation, reward, terminated, truncated, _ = self.env.step(actions[0])
        ended = bool(terminated or truncated)
        self._show(self.env.reset()[0] if ended else observation)
        return [reward], ended

    def _show(self, observation: Any) -> None:
        self.shown = [(observation, self.env.action_masks())]


class Player:
    """One agent of all sub-environments: its network, what it has seen and done in a rollout, and its update."""

    def __init__(
        self, task: Task, network: NetworkFactory, space: spaces.Space, actions: spaces.Space, seed: int, device: str
    ) -> None:
        self._ppo, self._space, self._device = task.ppo, space, device
        self._sizes, self._is_vector = choices(actions), bool(actions.shape)
        self.network = build_network(network, space, actions, seed).to(device)
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), lr=task.ppo.learning_rate, eps=task.ppo.adam_eps, fused=True
        )
        self.begin()

    def begin(self) -> None:
        self._steps: list[tuple[Any, ...]] = []
        self._values: list[torch.Tensor] = []
        self.rewards: list[list[float]] = []

    @torch.no_grad()
    def act(self, observations: list[Any], masks: list[np.ndarray]) -> np.ndarray:
        """One action for each sub-environment."""
        obs, legal = self._input(observations), torch.as_tensor(np.stack(masks), device=self._device)
        logits, values = self.network(obs)
        log_probs = self._log_probs(logits, legal)
        noise = -torch.empty_like(log_probs).exponential_().log()
        actions = torch.stack([part.argmax(-1) for part in (log_probs + noise).split(self._sizes, -1)], -1)
        self._steps.append((obs, legal, actions, self._chosen(log_probs, actions)))
        self._values.append(values)
        taken: np.ndarray = (actions if self._is_vector else actions.squeeze(-1)).cpu().numpy()
        return taken

    @torch.no_grad()
    def returns(self, last: list[Any], ends: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Advantages and value targets ``[T * N]``; ``last``: the observations after the rollout, ``ends``: ``[T, N]``."""
        ppo, going = self._ppo, 1.0 - ends.astype(np.float32)
        values = torch.stack([*self._values, self.network(self._input(last))[1]]).cpu().numpy()
        deltas = np.array(self.rewards, np.float32) + ppo.gamma * values[1:] * going - values[:-1]
        advantages = np.zeros_like(deltas)
        following = np.zeros_like(deltas[0])
        for t in reversed(range(len(deltas))):
            advantages[t] = following = deltas[t] + ppo.gamma * ppo.gae_lambda * going[t] * following
        both = np.stack([advantages, advantages + values[:-1]]).reshape(2, -1)
        flat_advantages, targets = torch.as_tensor(both, dtype=torch.float32, device=self._device)
        return flat_advantages, targets

    def update(self, advantages: torch.Tensor, targets: torch.Tensor) -> None:
        names = ("obs", "masks", "actions", "log_probs")
        rollout = {name: _joined([step[i] for step in self._steps]) for i, name in enumerate(names)}
        for _ in range(self._ppo.n_epochs):
            for chosen in torch.randperm(len(advantages), device=self._device).split(self._ppo.batch_size):
                batch = {name: _rows(column, chosen) for name, column in rollout.items()}
                loss = self._loss(batch, advantages[chosen], targets[chosen])
                self._optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._ppo.max_grad_norm)
                self._optimizer.step()

    def _input(self, observations: list[Any]) -> Any:
        return network_input(stack_observations(observations, self._space), self._space, self._device)

    def _log_probs(self, logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        masked = torch.where(masks, logits, _ILLEGAL)
        return torch.cat([part.log_softmax(-1) for part in masked.split(self._sizes, -1)], -1)

    def _chosen(self, log_probs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        parts = log_probs.split(self._sizes, -1)
        return torch.stack([p.gather(-1, actions[:, i : i + 1]).squeeze(-1) for i, p in enumerate(parts)]).sum(0)

    def _loss(self, batch: dict[str, Any], advantages: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        ppo = self._ppo
        logits, values = self.network(batch["obs"])
        log_probs = self._log_probs(logits, batch["masks"])
        if ppo.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = (self._chosen(log_probs, batch["actions"]) - batch["log_probs"]).exp()
        clipped = ratio.clamp(1 - ppo.clip_range, 1 + ppo.clip_range)
        policy = -torch.min(advantages * ratio, advantages * clipped).mean()
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        return policy + ppo.vf_coef * functional.mse_loss(values, targets) - ppo.ent_coef * entropy


@dataclasses.dataclass(frozen=True)
class Limit:
    """What plays and learns; `train` is timed."""

    task: Task
    games: Sequence[Game]
    players: Sequence[Player]
    device: str

    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        """Iterations until ``steps`` environment steps are done."""
        now, done = _clock(self.device), 0
        while done < steps:
            begin = now()
            ends = np.array([self._step() for _ in range(self.task.ppo.n_steps)])
            sampled = now()
            learnt = [
                player.returns([game.shown[i][0] for game in self.games], ends) for i, player in enumerate(self.players)
            ]
            computed = now()
            for player, (advantages, targets) in zip(self.players, learnt, strict=True):
                player.update(advantages, targets)
                player.begin()
            done += self.task.ppo.rollout_steps
            on_iteration(Iteration(done, sampled - begin, computed - sampled, now() - computed))

    def _step(self) -> list[bool]:
        """Which sub-environments' episodes ended."""
        actions = [
            player.act([game.shown[i][0] for game in self.games], [game.shown[i][1] for game in self.games])
            for i, player in enumerate(self.players)
        ]
        results = [game.step([chosen[g] for chosen in actions]) for g, game in enumerate(self.games)]
        for i, player in enumerate(self.players):
            player.rewards.append([rewards[i] for rewards, _ in results])
        return [ended for _, ended in results]


def limit_of_task(task: Task, seed: int, device: str) -> Limit:
    """The limit of a task's single-agent environment.

    Raises:
        CannotStart: the task brings no network of which it could be made.
    """
    if task.network is None:
        raise CannotStart(f"Task {task.id} has no network, only sb3_model: there is no limit to measure.")
    games = [_Alone(task, seed * SEED_STRIDE + i) for i in range(task.ppo.n_envs)]
    env = games[0].env
    return Limit(
        task, games, [Player(task, task.network, env.observation_space, env.action_space, seed, device)], device
    )


def _clock(device: str) -> Callable[[], float]:
    synchronize = synchronizer(device) or (lambda: None)

    def now() -> float:
        synchronize()
        return time.perf_counter()

    return now


def _joined(parts: list[Any]) -> Any:
    """Observations or tensors of all steps, one after the other, in the dicts and tuples of one."""
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    if isinstance(parts[0], tuple):
        return tuple(_joined([part[i] for part in parts]) for i in range(len(parts[0])))
    return torch.cat(parts)


def _rows(column: Any, chosen: torch.Tensor) -> Any:
    if isinstance(column, dict):
        return {name: _rows(part, chosen) for name, part in column.items()}
    if isinstance(column, tuple):
        return tuple(_rows(part, chosen) for part in column)
    return column[chosen]
