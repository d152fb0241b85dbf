"""RLlib's PPO on the old API stack as a framework of parity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.evaluation.rollout_worker import RolloutWorker
from ray.rllib.policy.policy import Policy
from ray.rllib.policy.policy_map import PolicyMap
from ray.rllib.utils.metrics import LEARN_ON_BATCH_TIMER, LOAD_BATCH_TIMER, NUM_ENV_STEPS_SAMPLED, SAMPLE_TIMER

from parity.frameworks import hyperparameters
from parity.frameworks.base import Effective, EvalRunner, Framework, Iteration, Session
from parity.frameworks.device import synchronizer
from parity.frameworks.phases import Phases, watch_env
from parity.frameworks.randomness import undisturbed
from parity.frameworks.rllib.algorithm import audit, build, bundles_of, stop
from parity.frameworks.rllib.config import Port, is_whole
from parity.frameworks.rllib.framework import IN_NO_CONFIG, RllibSession, flat
from parity.frameworks.rllib.mapping import is_trained
from parity.frameworks.rllib_old_stack.config import build_port, old_form
from parity.frameworks.rllib_old_stack.eval_runner import OldStackEvalRunner, State
from parity.frameworks.rllib_old_stack.worker import AuditOfSampled, sampled_masks, steady, step_by_step
from parity.frameworks.snapshot import CannotBeKept, Reducer, as_it_is, with_attributes
from parity.frameworks.stopwatch import Stopwatch
from parity.task import Task
from parity.task.masks import MaskCounts


class RllibOldStack(Framework):
    name = "rllib-old-stack"
    packages: ClassVar[tuple[str, ...]] = ("ray",)

    def effective(self, task: Task, device: str, threads: int) -> Effective:
        port = self.port(task, seed=0, device=device)
        bundles = bundles_of(port.config)
        differences = hyperparameters.to_rllib_old_stack(task.ppo)[2]
        if is_whole(old_form(task)):
            differences = [each for each in differences if each.field in IN_NO_CONFIG]
        learner = "cuda" if port.config.num_gpus > 0 else "cpu"
        remote = port.config.num_env_runners and not port.config.num_gpus_per_env_runner
        return Effective(
            hyperparameters=hyperparameters.of_rllib(port.config),
            untranslated=differences,
            native=flat(port.config.to_dict()),
            devices={"learner": learner, "env_runner": "cpu" if remote else learner},
            threads=threads,
            processes=len(bundles),
            bundles=bundles,
        )

    def port(self, task: Task, seed: int, device: str) -> Port:
        """The configuration of one trial."""
        return build_port(task, seed, device)

    def open(self, task: Task, seed: int, device: str, threads: int) -> OldStackSession:
        return OldStackSession(self.port(task, seed, device), threads)

    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        port = self.port(task, seed=0, device=device)
        with undisturbed():
            policies = Policy.from_checkpoint(str(checkpoint.resolve()))
        assert isinstance(policies, dict)
        state = State.of(policies)
        return OldStackEvalRunner(port, slots, lambda: state)


class OldStackSession(Session):
    def __init__(self, port: Port, threads: int) -> None:
        torch.set_num_threads(threads)
        self.port = port
        self._done = 0
        self.algorithm: Any = build(steady(port.config))
        self.algorithm.env_runner_group.foreach_env_runner(
            functools.partial(audit, key=port.mask_key, kind=AuditOfSampled)
        )
        self.algorithm.env_runner_group.foreach_env_runner(step_by_step)
        self._watch = Stopwatch(synchronizer(self.devices()["learner"]))
        for policy in self._policies().values():
            self._watch.watch(policy, "postprocess_trajectory", "returns")

    def _policies(self) -> dict[str, Any]:
        return {policy_id: self._worker().policy_map[policy_id] for policy_id in self._worker().policy_map}

    def _worker(self) -> Any:
        """The env runner of this process, whose policies learn."""
        return self.algorithm.env_runner

    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        while self._done < steps:
            self.algorithm.train()
            self._done = int(self.algorithm._counters[NUM_ENV_STEPS_SAMPLED])
            timers = self.algorithm._timers
            update = sum(
                timers[name]._samples[-1] for name in (LEARN_ON_BATCH_TIMER, LOAD_BATCH_TIMER) if timers[name].count
            )
            returns = self._watch.take("returns")  # 0 where env runners in other processes compute them
            on_iteration(
                Iteration(
                    steps=self._done,
                    sample_s=timers[SAMPLE_TIMER]._samples[-1] - returns,
                    returns_s=returns or float("nan"),
                    update_s=update,
                )
            )

    def eval_runner(self, slots: int) -> EvalRunner:
        return OldStackEvalRunner(self.port, slots, lambda: State.of(self._policies()))

    def weights(self) -> Mapping[str, torch.Tensor]:
        weights = self._policies()[self.port.learning_module].get_weights()
        return {name: torch.as_tensor(value) for name, value in weights.items()}

    def sampling_masks(self) -> MaskCounts:
        counts = self.algorithm.env_runner_group.foreach_env_runner(sampled_masks)
        return sum(counts, start=MaskCounts())

    def watch_phases(self, phases: Phases) -> None:
        for env in self._worker().async_env.get_sub_environments() if self._worker().async_env is not None else ():
            watch_env(phases, env.unwrapped)
        phases.watch(EnvRunnerGroup, "sync_weights", "weight_sync")
        if self.algorithm.config.num_env_runners:
            phases.watch(EnvRunnerGroup, "foreach_env_runner", "waiting", "env runners")
        for policy in self._policies().values():
            kind = type(policy)
            phases.watch(kind, "compute_actions_from_input_dict", "inference")
            phases.watch(policy, "postprocess_trajectory", "returns")  # on the object, as the stopwatch is
            phases.watch(kind, "loss", "loss")
            phases.watch(kind, "extra_grad_process", "optimiser")
            phases.watch(kind, "apply_gradients", "optimiser")

    def learning_modules(self) -> int:
        return sum(is_trained(self.port.config, policy_id) for policy_id in self._policies())

    def devices(self) -> dict[str, str]:
        learner = str(self._policies()[self.port.learning_module].device)
        runners = {each for each in self.algorithm.env_runner_group.foreach_env_runner(_device) if each}
        return {"learner": learner, "env_runner": ", ".join(sorted(runners))}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.algorithm.save_checkpoint(str(folder.resolve()))

    def reducers(self) -> Mapping[type, Reducer]:
        if self.algorithm.config.num_env_runners:
            raise CannotBeKept("its env runners are other processes")
        return {
            Algorithm: as_it_is,
            Policy: as_it_is,
            PolicyMap: as_it_is,  # a dict that keeps its policies elsewhere
            # A generator for ray.util.iter, which nobody asks here.
            RolloutWorker: lambda worker: with_attributes(worker, vars(worker) | {"item_generator": None}),
            **RllibSession.reducers_of_ray(),
        }

    def close(self) -> None:
        stop(self.algorithm)


def _device(worker: Any) -> str | None:
    if worker.env is None:
        return None
    return ", ".join(sorted({str(worker.policy_map[policy_id].device) for policy_id in worker.policy_map}))
