"""sb3-contrib's MaskablePPO as a framework of parity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from parity.frameworks import hyperparameters
from parity.frameworks.base import SEED_STRIDE, Effective, EvalRunner, Framework, Iteration, Session
from parity.frameworks.device import synchronizer
from parity.frameworks.network import check_network
from parity.frameworks.phases import REST, Phases, watch_env
from parity.frameworks.sb3.eval_runner import Sb3EvalRunner
from parity.frameworks.sb3.model import build_model, network_space, vec_env
from parity.frameworks.shown import shown_observations
from parity.frameworks.snapshot import Reducer, as_it_is, with_attributes
from parity.frameworks.stopwatch import Stopwatch
from parity.task import Task
from parity.task.masks import MaskCounts

MODEL_FILE = "model.zip"
NORMALIZER_FILE = "vecnormalize.pkl"


class Sb3(Framework):
    name = "sb3"
    packages = ("stable-baselines3", "sb3-contrib")

    def effective(self, task: Task, device: str, threads: int) -> Effective:
        session = self.open(task, seed=0, device=device, threads=threads)
        try:
            if task.sb3_model is None:
                network, shown = session.model.policy.network, functools.partial(shown_observations, task, 2)
                check_network(network, network_space(session.env), session.env.action_space, shown)
            return Effective(
                hyperparameters=hyperparameters.of_sb3(session.model),
                untranslated=[],
                native={"policy": type(session.model.policy).__name__, "n_envs": session.model.n_envs}
                | {"vec_env": type(session.env).__name__},
                devices=session.devices(),
                threads=threads,
                bundles=[{"CPU": 1.0} | ({"GPU": 1.0} if device == "cuda" else {})],
            )
        finally:
            session.close()

    def open(self, task: Task, seed: int, device: str, threads: int) -> Sb3Session:
        return Sb3Session(task, seed, device, threads, self.watched)

    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        model = MaskablePPO.load(checkpoint / MODEL_FILE, device=device)
        normalizer = None
        if (checkpoint / NORMALIZER_FILE).is_file():
            normalizer = VecNormalize.load(str(checkpoint / NORMALIZER_FILE), vec_env(task, 1))
        return Sb3EvalRunner(model, task, slots, normalizer)


class Sb3Session(Session):
    def __init__(
        self, task: Task, seed: int, device: str, threads: int, watched: Callable[[Any], Any] | None = None
    ) -> None:
        torch.set_num_threads(threads)
        self.task, self._watched = task, watched
        self.env = vec_env(task, task.ppo.n_envs)
        self.model: Any = build_model(task, self.env, seed, device)
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        # MaskablePPO.__init__ seeded the environments with `seed`; trials must not share environment streams.
        self.env.seed(seed * SEED_STRIDE)
        self._watch = Stopwatch(synchronizer(device))
        self._watch.watch(self.model, "collect_rollouts", "rollout")
        self._watch.watch(self.model.rollout_buffer, "compute_returns_and_advantage", "returns")
        self._watch.watch(self.model, "train", "update")

    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        def report() -> None:
            returns_s = self._watch.take("returns")
            on_iteration(
                Iteration(
                    steps=self.model.num_timesteps,
                    sample_s=self._watch.take("rollout") - returns_s,
                    returns_s=returns_s,
                    update_s=self._watch.take("update"),
                )
            )

        def report_within_rollout() -> None:
            # SB3 calls back inside `collect_rollouts`, and whoever is told may evaluate.
            with self._watch.not_counted("rollout"):
                report()

        # `learn` counts whole rollouts, so it may pass `steps` by less than one of them.
        done = self.model.num_timesteps  # by a session that was interrupted and kept
        more = [] if self._watched is None else [self._watched(self.model)]
        callback = CallbackList([*more, _AfterUpdate(report_within_rollout, done)])
        self.model.learn(total_timesteps=steps - done, callback=callback, reset_num_timesteps=not done)
        report()

    def eval_runner(self, slots: int) -> EvalRunner:
        return Sb3EvalRunner(self.model, self.task, slots, self.model.get_vec_normalize_env())

    def sampling_masks(self) -> MaskCounts:
        return sum(self.env.get_attr("counts"), start=MaskCounts())

    def module_devices(self) -> dict[str, str]:
        return {"policy": ", ".join(sorted({str(p.device) for p in self.model.policy.parameters()}))}

    def watch_phases(self, phases: Phases) -> None:
        for env in self.env.envs:
            watch_env(phases, env)
        # The policy is called as a module, whose `forward` draws actions too.
        for method in ("forward", "predict_values"):
            phases.watch(type(self.model.policy), method, "inference")
        buffer = self.model.rollout_buffer
        phases.watch(buffer, "compute_returns_and_advantage", "returns")
        # What is left of `train` is the loss, log-probabilities and entropy with it, and its logging.
        phases.watch(self.model, "train", "loss")
        phases.watch(buffer, "_get_samples", REST, "minibatches")
        phases.watch(type(self.model.policy.optimizer), "step", "optimiser")

    def devices(self) -> dict[str, str]:
        device = str(next(self.model.policy.parameters()).device)
        return {"policy": device, "rollout": device, "rollout_buffer": "cpu"}

    def weights(self) -> Mapping[str, torch.Tensor]:
        return self.model.policy.state_dict()

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The stopwatch's wrappers live on the instance and cannot be pickled.
        self.model.save(folder / MODEL_FILE, exclude=["collect_rollouts", "train", "env", "rollout_buffer"])
        normalizer = self.model.get_vec_normalize_env()
        if normalizer is not None:
            normalizer.save(str(folder / NORMALIZER_FILE))

    def reducers(self) -> Mapping[type, Reducer]:
        # VecNormalize would leave out the environments in it. Buffers are emptied before each rollout.
        return {VecEnv: as_it_is, BaseBuffer: _without_arrays}

    def close(self) -> None:
        self.env.close()


def _without_arrays(buffer: BaseBuffer) -> tuple[Any, ...]:
    return with_attributes(
        buffer, {name: each for name, each in vars(buffer).items() if not isinstance(each, np.ndarray)}
    )


class _AfterUpdate(BaseCallback):
    """Calls back when an update has ended, which SB3 shows as the start of the next rollout.

    ``told``: the environment steps of the last update that was told of before.
    """

    def __init__(self, report: Callable[[], None], told: int) -> None:
        super().__init__()
        self._report, self._told = report, told

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._told:
            self._report()

    def _on_step(self) -> bool:
        return True
