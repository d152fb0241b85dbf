"""sb3-contrib's MaskablePPO, with the task's network as its whole policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sb3_contrib
import torch
from pydantic import ValidationError
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from parity.errors import CannotStart, one_line
from parity.frameworks import hyperparameters
from parity.frameworks.base import SEED_STRIDE, Effective, EvalRunner, Framework, Iteration, Session
from parity.frameworks.device import synchronizer
from parity.frameworks.masked_eval_runner import MaskedEvalRunner
from parity.frameworks.network import check_network, check_observation_space
from parity.frameworks.sb3.policy import SharedNetworkPolicy
from parity.frameworks.stopwatch import Stopwatch
from parity.task import Task
from parity.task.masks import MaskCounts, masked_envs
from parity.task.registry import validation_sentence

MODEL_FILE = "model.zip"
NORMALIZER_FILE = "vecnormalize.pkl"
# What a brought `sb3_model` may wrap its environments in: the evaluator does the same to its observations.
KNOWN_WRAPPERS = (VecNormalize, VecTransposeImage, VecMonitor, VecCheckNan)


class UnwrappedMaskablePPO(MaskablePPO):
    """MaskablePPO that takes the vectorised environment as it is.

    ``BaseAlgorithm._wrap_env`` (stable-baselines3 2.9.2) would transpose channels-last images before the network sees them.
    """

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        return env


class Sb3(Framework):
    name = "sb3"
    packages = ("stable-baselines3", "sb3-contrib")

    def effective(self, task: Task, device: str, threads: int) -> Effective:
        session = self.open(task, seed=0, device=device, threads=threads)
        try:
            if task.sb3_model is None:
                check_network(session.model.policy.network, session.env.observation_space, session.env.action_space)
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
        return Sb3Session(task, seed, device, threads)

    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        model = MaskablePPO.load(checkpoint / MODEL_FILE, device=device)
        normalizer = None
        if (checkpoint / NORMALIZER_FILE).is_file():
            normalizer = VecNormalize.load(str(checkpoint / NORMALIZER_FILE), vec_env(task, 1))
        return Sb3EvalRunner(model, task, slots, normalizer)


class Sb3Session(Session):
    def __init__(self, task: Task, seed: int, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.task = task
        self.env = vec_env(task, task.ppo.n_envs)
        self.model: Any = build_model(task, self.env, seed, device)
        self.model.set_logger(configure(None, []))
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

        # `learn` counts whole rollouts, so it may pass `steps` by less than one of them.
        self.model.learn(total_timesteps=steps, callback=_AfterUpdate(report))
        report()

    def eval_runner(self, slots: int) -> EvalRunner:
        return Sb3EvalRunner(self.model, self.task, slots, self.model.get_vec_normalize_env())

    def sampling_masks(self) -> MaskCounts:
        return sum(self.env.get_attr("counts"), start=MaskCounts())

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

    def close(self) -> None:
        self.env.close()


def vec_env(task: Task, n: int) -> DummyVecEnv:
    """``n`` of the task's environments, masks in one place, observations as the environment gives them.

    Raises:
        CannotStart: the environment cannot be masked, or its observations are none that SB3 knows.
    """
    envs = masked_envs(task.env, task.mask, n)
    check_observation_space(envs[0].observation_space)
    return DummyVecEnv([lambda env=env: env for env in envs])  # type: ignore[misc]


def build_model(task: Task, env: VecEnv, seed: int, device: str) -> MaskablePPO:
    """The SB3 side of a task: its own ``sb3_model``, or MaskablePPO with the shared network as the whole policy."""
    if task.sb3_model is not None:
        model = task.sb3_model(env, seed, device)
        if not isinstance(model, MaskablePPO):
            raise CannotStart(
                f"Task {task.id}: sb3_model returned a {type(model).__name__}; return a MaskablePPO "
                f"(sb3-contrib {sb3_contrib.__version__})."
            )
        _check_wrappers(task, model, env)
        return model
    assert task.network is not None
    return UnwrappedMaskablePPO(
        SharedNetworkPolicy,
        env,
        seed=seed,
        device=device,
        policy_kwargs={"network": task.network, "network_seed": seed, "adam_eps": task.ppo.adam_eps},
        **hyperparameters.to_sb3(task.ppo),
    )


def with_own_hyperparameters(task: Task, model: MaskablePPO) -> Task:
    """The task with the hyperparameters of ``model``, where it brings it as ``sb3_model``: those are what SB3 trains with.

    Raises:
        CannotStart: PPOParams cannot hold them.
    """
    if task.sb3_model is None:
        return task
    try:
        return dataclasses.replace(task, ppo=hyperparameters.of_brought(model, task.ppo))
    except ValidationError as error:
        raise CannotStart(
            f"Task {task.id}: sb3_model, by the values that its schedules begin with: {validation_sentence(error)}"
        ) from error
    except ValueError as error:
        raise CannotStart(f"Task {task.id}: sb3_model: {one_line(error)}.") from error


def _check_wrappers(task: Task, model: MaskablePPO, given: VecEnv) -> None:
    env = model.get_env()
    while isinstance(env, VecEnvWrapper):
        if not isinstance(env, KNOWN_WRAPPERS):
            names = ", ".join(wrapper.__name__ for wrapper in KNOWN_WRAPPERS)
            raise CannotStart(
                f"Task {task.id}: sb3_model wraps vec_env in a {type(env).__name__}, which the evaluator would have to "
                f"do too; it knows {names}; wrap the environment itself, in `env`."
            )
        env = env.venv
    if env is not given:
        raise CannotStart(
            f"Task {task.id}: sb3_model does not use the vec_env that it is given; pass it to MaskablePPO."
        )


class _AfterUpdate(BaseCallback):
    """Calls back when an update has ended, which SB3 shows as the start of the next rollout."""

    def __init__(self, report: Callable[[], None]) -> None:
        super().__init__()
        self._report = report

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > 0:
            self._report()

    def _on_step(self) -> bool:
        return True


class Sb3EvalRunner(MaskedEvalRunner):
    def __init__(self, model: MaskablePPO, task: Task, slots: int, normalizer: VecNormalize | None = None) -> None:
        super().__init__(task, slots)
        self._model, self._normalizer = model, normalizer

    def decide(self, observations: list[Any], masks: np.ndarray, deterministic: bool) -> np.ndarray:
        actions, _ = self._model.predict(self._batch(observations), deterministic=deterministic, action_masks=masks)
        return actions

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        policy = self._model.policy
        policy.set_training_mode(False)
        with torch.no_grad():
            tensors, _ = policy.obs_to_tensor(self._batch(observations))
            distribution: Any = policy.get_distribution(tensors, action_masks=masks)
            values = policy.predict_values(tensors)
        parts = getattr(distribution, "distributions", None) or [distribution.distribution]
        probabilities = torch.cat([part.probs for part in parts], dim=-1)
        return values.flatten().double().cpu().numpy(), probabilities.double().cpu().numpy()

    def _batch(self, rows: Sequence[Any]) -> Any:
        """Observations side by side, as the model gets them."""
        observations: Any
        if isinstance(rows[0], dict):
            # Only what the space announces, as DummyVecEnv does.
            keys = self.envs[0].observation_space.spaces  # type: ignore[attr-defined]
            observations = {key: np.stack([row[key] for row in rows]) for key in keys}
        else:
            observations = np.stack(rows)
        return observations if self._normalizer is None else self._normalizer.normalize_obs(observations)
