"""Ports whose env runners are other processes: what they import, what they raise, what only they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import ray
import torch
from helpers_of_the_port import BONUS
from packaged import Match, task
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.tune.registry import register_env

from parity import Task
from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
from parity.task.masks import MaskedEnv


def in_a_worker() -> bool:
    return ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE


class Imports(Match):
    """Imports a sibling once more where it plays."""

    def step(self, action: Any) -> Any:
        from helpers_of_the_port import BONUS as again

        assert again == BONUS
        return super().step(action)


class NeedsAFile(Match):
    """Opens a file that only the first machine has."""

    def __init__(self) -> None:
        if in_a_worker():
            raise FileNotFoundError("no instance ta01.txt")


class Strict(Match):
    def step(self, action: Any) -> Any:
        if not self.mask[int(action)]:
            raise ValueError(f"illegal action {int(action)}")
        return super().step(action)


class Module(TorchRLModule, ValueFunctionAPI):
    """Honours its mask wherever it is looked at, and in sampling as long as ``forgets`` says no."""

    def setup(self) -> None:
        self.trunk, self.head, self.critic = torch.nn.Linear(4, 16), torch.nn.Linear(16, 4), torch.nn.Linear(16, 1)
        self.calls = 0

    def forgets(self) -> bool:
        return False

    def _forward(self, batch: Any, **kwargs: Any) -> Any:
        logits = self.head(torch.tanh(self.trunk(batch["obs"]["shown"])))
        return {Columns.ACTION_DIST_INPUTS: torch.where(batch["obs"]["action_mask"] > 0, logits, -1e9)}

    def _forward_exploration(self, batch: Any, **kwargs: Any) -> Any:
        self.calls += 1
        out = self._forward(batch)
        return (
            {Columns.ACTION_DIST_INPUTS: torch.zeros_like(out[Columns.ACTION_DIST_INPUTS])} if self.forgets() else out
        )

    def compute_values(self, batch: Any, embeddings: Any = None) -> Any:
        return self.critic(torch.tanh(self.trunk(batch["obs"]["shown"]))).squeeze(-1)


class IllegalInAWorker(Module):
    """In the processes that sample, and nowhere else."""

    def forgets(self) -> bool:
        return in_a_worker() and self.calls > 2


class IllegalOnItsWay(Module):
    """After a while, in any process."""

    def forgets(self) -> bool:
        return self.calls > 20


def two_runners(config: PPOConfig) -> PPOConfig:
    return config.env_runners(num_env_runners=2, num_envs_per_env_runner=2, rollout_fragment_length=64)


def in_workers(env: Any, **changes: Any) -> Task:
    return task(env, rllib_config=two_runners, **changes)


imports = in_workers(Imports)
needs_a_file = in_workers(NeedsAFile)
strict_in_a_worker = in_workers(Strict, rllib_module=IllegalInAWorker)
strict_on_its_way = task(Strict, rllib_module=IllegalOnItsWay)


class Levels(Match):
    """Harder the higher the number of the process."""

    def __init__(self, level: int) -> None:
        self.level = level

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward / (1 + self.level), *rest


class OwnSeeds(Match):
    """A seed of its own for every process, whatever reset is given."""

    def __init__(self, worker: int) -> None:
        self.own = np.random.default_rng(worker)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._begin(self.own)


def by_worker(make: Any) -> Any:
    def edit(config: PPOConfig) -> PPOConfig:
        name = f"by-worker-{make.__name__}"
        register_env(name, lambda given: SingleAgentAsMultiAgent(MaskedEnv(make(given.worker_index))))
        return two_runners(config).environment(name)

    return edit


levels = task(lambda: Levels(0), id="levels", rllib_config=by_worker(Levels))
own_seeds = task(lambda: OwnSeeds(0), id="own-seeds", rllib_config=by_worker(OwnSeeds))
