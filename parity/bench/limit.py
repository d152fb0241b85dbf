"""How fast a task can be trained at all: its environments, one batched forward pass a step, the update's mathematics, and
nothing around them. The same steps, minibatches and epochs as the frameworks; no framework is imported.

It is a lower bound of the time, not an implementation: a truncated episode counts as ended, nothing is logged or audited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch.nn import functional

from parity.errors import CannotStart
from parity.frameworks.base import SEED_STRIDE, Iteration
from parity.frameworks.device import synchronizer
from parity.frameworks.network import build_network, network_input, stack_observations
from parity.task import Task
from parity.task.masks import MaskedEnv, choices

_ILLEGAL = -1e8


class Unaudited(MaskedEnv):
    """An environment with its mask in one place, whose actions nobody counts."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._take(observation, info, bool(terminated or truncated)), reward, terminated, truncated, info


class Limit:
    """One task's limit.

    Raises:
        CannotStart: the task brings no network of which it could be made.
    """

    def __init__(self, task: Task, seed: int, device: str, threads: int) -> None:
        if task.network is None:
            raise CannotStart(f"Task {task.id} has no network, only sb3_model: there is no limit to measure.")
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.task, self.device = task, device
        self.now = _clock(device)
        self.envs = [Unaudited(task.env(), task.mask) for _ in range(task.ppo.n_envs)]
        self._space: spaces.Space = self.envs[0].observation_space
        self._sizes = choices(self.envs[0].action_space)
        self.network = build_network(task.network, self._space, self.envs[0].action_space, seed).to(device)
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), lr=task.ppo.learning_rate, eps=task.ppo.adam_eps, fused=True
        )
        self._shown = [env.reset(seed=seed * SEED_STRIDE + i)[0] for i, env in enumerate(self.envs)]

    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        """Iterations until ``steps`` environment steps are done."""
        done = 0
        while done < steps:
            begin = self.now()
            rollout, values, rewards, ends = self._sample()
            sampled = self.now()
            advantages, returns = self._returns(values, rewards, ends)
            computed = self.now()
            self._update(rollout, advantages, returns)
            done += self.task.ppo.rollout_steps
            on_iteration(Iteration(done, sampled - begin, computed - sampled, self.now() - computed))

    @torch.no_grad()
    def _sample(self) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
        """Columns ``[T * N, …]`` on the device; values ``[T + 1, N]``, rewards and ends ``[T, N]`` as arrays."""
        steps: list[tuple[Any, ...]] = []
        values, rewards, ends = [], [], []
        for _ in range(self.task.ppo.n_steps):
            observations, masks = self._current()
            logits, value = self.network(observations)
            log_probs = self._log_probs(logits, masks)
            noise = -torch.empty_like(log_probs).exponential_().log()
            actions = torch.stack([part.argmax(-1) for part in (log_probs + noise).split(self._sizes, -1)], -1)
            chosen = self._chosen(log_probs, actions)
            steps.append((observations, masks, actions, chosen))
            values.append(value)
            taken = (actions.squeeze(-1) if not self.envs[0].action_space.shape else actions).cpu().numpy()
            results = [self._step(i, action) for i, action in enumerate(taken)]
            rewards.append([reward for reward, _ in results])
            ends.append([ended for _, ended in results])
        values.append(self.network(self._current()[0])[1])
        names = ("obs", "masks", "actions", "log_probs")
        rollout = {name: _joined([step[i] for step in steps]) for i, name in enumerate(names)}
        return rollout, torch.stack(values).cpu().numpy(), np.array(rewards, np.float32), np.array(ends)

    def _current(self) -> tuple[Any, torch.Tensor]:
        masks = torch.as_tensor(np.stack([env.action_masks() for env in self.envs]), device=self.device)
        return network_input(stack_observations(self._shown, self._space), self._space, self.device), masks

    def _step(self, index: int, action: Any) -> tuple[float, bool]:
        env = self.envs[index]
        self._shown[index], reward, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            self._shown[index], _ = env.reset()
        return reward, bool(terminated or truncated)

    def _log_probs(self, logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        masked = torch.where(masks, logits, _ILLEGAL)
        return torch.cat([part.log_softmax(-1) for part in masked.split(self._sizes, -1)], -1)

    def _chosen(self, log_probs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        parts = log_probs.split(self._sizes, -1)
        return torch.stack([p.gather(-1, actions[:, i : i + 1]).squeeze(-1) for i, p in enumerate(parts)]).sum(0)

    def _returns(self, values: np.ndarray, rewards: np.ndarray, ends: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        ppo, going = self.task.ppo, 1.0 - ends.astype(np.float32)
        deltas = rewards + ppo.gamma * values[1:] * going - values[:-1]
        advantages = np.zeros_like(deltas)
        last = np.zeros_like(deltas[0])
        for t in reversed(range(len(deltas))):
            advantages[t] = last = deltas[t] + ppo.gamma * ppo.gae_lambda * going[t] * last
        both = np.stack([advantages, advantages + values[:-1]]).reshape(2, -1)
        flat_advantages, returns = torch.as_tensor(both, dtype=torch.float32, device=self.device)
        return flat_advantages, returns

    def _update(self, rollout: dict[str, Any], advantages: torch.Tensor, returns: torch.Tensor) -> None:
        ppo, rows = self.task.ppo, len(advantages)
        for _ in range(ppo.n_epochs):
            for chosen in torch.randperm(rows, device=self.device).split(ppo.batch_size):
                batch = {name: _rows(column, chosen) for name, column in rollout.items()}
                loss = self._loss(batch, advantages[chosen], returns[chosen])
                self._optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), ppo.max_grad_norm)
                self._optimizer.step()

    def _loss(self, batch: dict[str, Any], advantages: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
        ppo = self.task.ppo
        logits, values = self.network(batch["obs"])
        log_probs = self._log_probs(logits, batch["masks"])
        if ppo.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = (self._chosen(log_probs, batch["actions"]) - batch["log_probs"]).exp()
        clipped = ratio.clamp(1 - ppo.clip_range, 1 + ppo.clip_range)
        policy = -torch.min(advantages * ratio, advantages * clipped).mean()
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        return policy + ppo.vf_coef * functional.mse_loss(values, returns) - ppo.ent_coef * entropy


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
