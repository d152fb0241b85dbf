"""RLlib's PPO on the new API stack as a framework of parity."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import COMPONENT_ENV_RUNNER, COMPONENT_ENV_TO_MODULE_CONNECTOR, COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.tune.utils import UtilMonitor
from ray.util.metrics import Metric

from parity.frameworks import hyperparameters
from parity.frameworks.base import Effective, EvalRunner, Framework, Iteration, Session, Untranslated
from parity.frameworks.device import synchronizer
from parity.frameworks.phases import Phases
from parity.frameworks.rllib import replaceable
from parity.frameworks.rllib.algorithm import audit, build, bundles_of, mask_counts, stop
from parity.frameworks.rllib.arrays import named_parameters
from parity.frameworks.rllib.callback_watch import CallbackWatch
from parity.frameworks.rllib.config import Port, build_port, is_whole
from parity.frameworks.rllib.eval_runner import RllibEvalRunner
from parity.frameworks.rllib.phases import watch
from parity.frameworks.rllib.versions import has_fast_path
from parity.frameworks.snapshot import CannotBeKept, Reducer, as_it_is, with_attributes
from parity.frameworks.stopwatch import Stopwatch
from parity.results.capture import CallbackChange
from parity.task import Task
from parity.task.masks import MaskCounts

IN_NO_CONFIG = ("clip_range_vf", "target_kl")


class Rllib(Framework):
    name = "rllib"
    packages = ("ray",)
    # RLlib's own classes; "stock" also has RLlib's default of what parity's configuration sets for speed alone.
    variants: ClassVar[tuple[str, ...]] = ("stock", "tuned")

    def effective(self, task: Task, device: str, threads: int) -> Effective:
        port = self.port(task, seed=0, device=device)
        config = port.config
        bundles = bundles_of(config)
        gpu = config.num_gpus_per_learner > 0
        return Effective(
            hyperparameters=hyperparameters.of_rllib(config),
            untranslated=self.untranslated(task),
            native=flat(config.to_dict()),
            devices={"learner": "cuda" if gpu else "cpu", "env_runner": _env_runner_device(config)},
            threads=threads,
            processes=len(bundles),
            bundles=bundles,
        )

    def untranslated(self, task: Task) -> list[Untranslated]:
        differences = hyperparameters.to_rllib(task.ppo)[2]
        # A configuration that is brought whole is not translated, and still lacks what PPOConfig has no field for.
        return [each for each in differences if each.field in IN_NO_CONFIG] if is_whole(task) else differences

    def port(self, task: Task, seed: int, device: str) -> Port:
        """The configuration of one trial; subclasses change it here."""
        port = build_port(task, seed, device)
        if self.variant is not None and not is_whole(task):
            port.config.episodes_to_numpy = self.variant == "stock"
        return port

    def open(self, task: Task, seed: int, device: str, threads: int) -> RllibSession:
        return RllibSession(
            task, self.port(task, seed, device), threads, is_fast=self.variant is None, watched=self.watched
        )

    def without(self, task: Task, part: str) -> Task:
        return replaceable.without(task, part)

    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        port = self.port(task, seed=0, device=device)
        learner = checkpoint / "learner_group" / "learner"
        state = {COMPONENT_RL_MODULE: MultiRLModule.from_checkpoint(learner / COMPONENT_RL_MODULE).get_state()}
        eval_runner = RllibEvalRunner(port, slots, lambda: state)
        state[COMPONENT_ENV_TO_MODULE_CONNECTOR] = eval_runner.connectors_from(checkpoint / COMPONENT_ENV_RUNNER)
        return eval_runner


class RllibSession(Session):
    def __init__(
        self,
        task: Task,
        port: Port,
        threads: int,
        is_fast: bool = True,
        watched: Callable[[Any], Any] | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self.task, self.port, self._is_fast = task, port, is_fast
        self._done = 0
        self._callbacks = CallbackWatch()
        config = _trained(port.config) if is_fast else port.config
        with self._callbacks.watching():
            self.algorithm: Any = build(config if watched is None else watched(config))
        self.algorithm.env_runner_group.foreach_env_runner(functools.partial(audit, key=port.mask_key))
        self._learner: Any = self.algorithm.learner_group._learner  # None where learners are other processes
        self._watch = Stopwatch(synchronizer(self.devices()["learner"]))
        self._watch.watch(self.algorithm.learner_group, "update", "update")
        if self._learner is not None:
            # Connectors and GAE (learner.py:1342, ray 2.60.0); remote learners don't report them apart.
            self._watch.watch(self._learner, "_make_batch_if_necessary", "returns")

    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        while self._done < steps:
            start = time.perf_counter()
            with self._callbacks.watching():
                result = self.algorithm.train()
            total = self._watch.now() - start
            self._done = int(result["env_runners"]["num_env_steps_sampled_lifetime"])
            update = self._watch.take("update")
            returns = self._watch.take("returns")
            on_iteration(
                Iteration(
                    steps=self._done,
                    sample_s=total - update,
                    returns_s=math.nan if self._learner is None else returns,
                    update_s=update - returns,
                )
            )

    def eval_runner(self, slots: int) -> EvalRunner:
        return RllibEvalRunner(self.port, slots, self._runner_state)

    def _runner_state(self) -> dict[str, Any]:
        """The state of a freshly synchronised env runner: the learner's weights and the connectors' state."""
        state = {COMPONENT_RL_MODULE: self.algorithm.learner_group.get_weights()}
        runner = self.algorithm.env_runner
        if runner is not None and runner._env_to_module is not None:
            state[COMPONENT_ENV_TO_MODULE_CONNECTOR] = runner._env_to_module.get_state()
        return state

    def weights(self) -> Mapping[str, torch.Tensor]:
        weights = self.algorithm.learner_group.get_weights()[self.port.learning_module]
        return {name: torch.as_tensor(value) for name, value in weights.items()}

    def callback_changes(self) -> list[CallbackChange]:
        return self._callbacks.changes

    def sampling_masks(self) -> MaskCounts:
        counts = self.algorithm.env_runner_group.foreach_env_runner(mask_counts)
        return sum(counts, start=MaskCounts())

    def slow_paths(self) -> list[str]:
        if not self._is_fast:
            return []
        runners = self.algorithm.env_runner_group.foreach_env_runner(_left)
        learners = [call.get() for call in self.algorithm.learner_group.foreach_learner(_left)]
        owners = [("sampling", each) for each in runners if each] + [("learning", each) for each in learners if each]
        return list(dict.fromkeys(f"{what} goes RLlib's own way: {', '.join(reasons)}" for what, reasons in owners))

    def watch_phases(self, phases: Phases) -> None:
        watch(phases, self.algorithm, self._learner)

    def learning_modules(self) -> int:
        trained = self.port.config.policies_to_train
        return len(self.port.config.policies if trained is None or callable(trained) else trained)

    def replaceable(self) -> list[str]:
        return list(replaceable.parts_of(self.port.config))

    def module_devices(self) -> dict[str, str]:
        places = [("env runner", self.algorithm.env_runner), ("learner", self._learner)]
        return {
            f"{place}: {module_id}": ", ".join(sorted({str(p.device) for p in named_parameters(module).values()}))
            for place, owner in places
            if owner is not None and owner.module is not None
            for module_id, module in owner.module.items()
            if named_parameters(module)
        } or self.devices()

    def devices(self) -> dict[str, str]:
        if self._learner is not None:
            of_learner = str(next(self._learner.module[self.port.learning_module].parameters()).device)
        else:
            of_learner = "cuda" if self.algorithm.config.num_gpus_per_learner else "cpu"
        of_runners = {each for each in self.algorithm.env_runner_group.foreach_env_runner(_device) if each}
        return {"learner": of_learner, "env_runner": ", ".join(sorted(of_runners))}

    def save(self, folder: Path) -> None:
        self.algorithm.save_to_path(str(folder.resolve()))

    def reducers(self) -> Mapping[type, Reducer]:
        config = self.algorithm.config
        if config.num_env_runners or config.num_learners:
            raise CannotBeKept("its env runners or learners are other processes")
        return {Algorithm: as_it_is, **self.reducers_of_ray()}

    @staticmethod
    def reducers_of_ray() -> dict[type, Reducer]:
        """For what an ``Algorithm`` of either API stack holds of this Ray."""
        return {
            # The configuration for env runners in other processes lies in the object store of a Ray that will be gone.
            EnvRunnerGroup: lambda group: with_attributes(group, vars(group) | {"_remote_config_obj_ref": None}),
            UtilMonitor: lambda monitor: (UtilMonitor, (False,)),  # a thread, which measures nothing
            Metric: _metric,
            ray.ObjectRef: _refuse,
            ray.actor.ActorHandle: _refuse,
        }

    def close(self) -> None:
        stop(self.algorithm)


def _refuse(thing: Any) -> tuple[Any, ...]:
    raise CannotBeKept(f"it holds {thing!r}, which is nothing outside of this Ray")


def _metric(metric: Metric) -> tuple[Any, ...]:
    """Ray's own way loses the tags, and then refuses to count (util/metrics.py:154, ray 2.60.0)."""
    made: Any = metric.__reduce__()
    return _tagged, (*made[:2], metric.info["default_tags"])


def _tagged(cls: type[Metric], arguments: tuple[Any, ...], tags: dict[str, str]) -> Metric:
    metric = cls(*arguments)
    metric.set_default_tags(tags)
    return metric


def _trained(config: Any) -> Any:
    """The configuration that trains: of the same numbers, on parity's fast path where the installed RLlib has what it takes."""
    if not has_fast_path():
        return config
    from parity.frameworks.rllib.fast import accelerated

    return accelerated(config)


def _left(owner: Any, **_: Any) -> list[str]:
    """Why an env runner or a learner went RLlib's own way; empty for an env runner that samples nothing."""
    if getattr(owner, "env", True) is None:
        return []
    left: list[str] = getattr(owner, "left", [f"{type(owner).__name__} is not parity's"])
    return left


def _device(runner: Any) -> str | None:
    if runner.env is None or runner.module is None:
        return None
    parameters = (p for module in runner.module.values() for p in named_parameters(module).values())
    return next((str(parameter.device) for parameter in parameters), None)


def _env_runner_device(config: Any) -> str:
    # The local env runner is always on the CPU (multi_agent_env_runner.py:100, ray 2.60.0).
    return "cuda" if config.num_env_runners and config.num_gpus_per_env_runner else "cpu"


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration's scalars as plain Python values, for ``study.json``.

    Some are of RLlib's subclasses of str, which would bring RLlib into every process that unpickles them.
    """
    plain = (bool, int, float, str)
    return {
        key: next(kind(value) for kind in plain if isinstance(value, kind))
        for key, value in sorted(values.items())
        if isinstance(value, plain)
    }
