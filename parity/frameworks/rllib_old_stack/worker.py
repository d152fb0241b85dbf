"""RLlib's ``RolloutWorker``: made without Ray, such that it can be stored, and with its actions checked against masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.evaluation.rollout_worker import RolloutWorker

from parity.frameworks.rllib.env_tap import Call, MaskAudit
from parity.task.masks import MaskCounts


class SteadyWorker(RolloutWorker):
    """Lets policies learn in the order of their names: in RLlib's set it is another one in every process, as hashes are."""

    def get_policies_to_train(self, batch: Any = None) -> Any:
        return sorted(super().get_policies_to_train(batch), key=str)


def steady(config: PPOConfig) -> PPOConfig:
    """A copy of a configuration whose env runner, where it is RLlib's, is a `SteadyWorker`."""
    config = config.copy(copy_frozen=False)
    config.env_runner_cls = config.env_runner_cls or SteadyWorker
    return config


def make_worker(config: PPOConfig, envs: int) -> Any:
    """A rollout worker of this configuration in this process, without Ray, that plays so many sub-environments."""
    config = steady(config)
    config.num_env_runners, config.num_gpus, config.num_envs_per_env_runner = 0, 0, envs
    config.validate()
    _, make_env = config.algo_class._get_env_id_and_creator(config.env, config)
    worker = config.env_runner_cls(
        env_creator=make_env, config=config, default_policy_class=config.algo_class.get_default_policy_class(config)
    )
    step_by_step(worker)
    return worker


class AuditOfSampled(MaskAudit):
    """Counts an action when its environment is called again: then the rollout that holds it has been handed over.

    ``EnvRunnerV2.step`` steps every environment once more before it hands a rollout over; that row is the next one's, although
    its action was chosen by the weights before the update.
    """

    def __init__(self, env: Any, key: str) -> None:
        super().__init__(env, key)
        self._handed_over = MaskCounts()

    def before(self, call: Call) -> None:
        self._handed_over = self._handed_over + self.counts
        self.counts = MaskCounts()
        super().before(call)

    def sampled(self) -> MaskCounts:
        return self._handed_over


def sampled_masks(worker: Any) -> MaskCounts:
    return sum((each.sampled() for each in getattr(worker, "_parity_audits", [])), start=MaskCounts())


class _Outputs:
    """What ``EnvRunnerV2.run`` yields, which is a generator there: those cannot be stored in the middle of a training."""

    def __init__(self, env_runner: Any) -> None:
        self._env_runner = env_runner
        self._left: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while not self._left:
            self._left = list(self._env_runner.step())
        return self._left.pop(0)


def step_by_step(worker: Any) -> None:
    if worker.env is not None:
        worker.sampler._env_runner = _Outputs(worker.sampler._env_runner_obj)
