"""From a task to the MaskablePPO that SB3 trains: its own ``sb3_model``, or the shared network as the whole policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import sb3_contrib
from pydantic import ValidationError
from sb3_contrib import MaskablePPO
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
from parity.frameworks.network import by_path, check_observation_space, is_nested
from parity.frameworks.sb3.policy import SharedNetworkPolicy
from parity.task import Task
from parity.task.masks import masked_envs
from parity.task.registry import validation_sentence

# What a brought `sb3_model` may wrap its environments in: the evaluator does the same to its observations.
KNOWN_WRAPPERS = (VecNormalize, VecTransposeImage, VecMonitor, VecCheckNan)


class UnwrappedMaskablePPO(MaskablePPO):
    """MaskablePPO that takes the vectorised environment as it is.

    ``BaseAlgorithm._wrap_env`` (stable-baselines3 2.9.2) would transpose channels-last images before the network sees them.
    """

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        return env


def vec_env(task: Task, n: int) -> DummyVecEnv:
    """``n`` of the task's environments, masks in one place, observations as the environment gives them.

    Nested ones are handed over by path, as SB3 has no buffer for them; the network sees them as they are.

    Raises:
        CannotStart: the environment cannot be masked, or its observations are none that SB3 knows.
    """
    envs = masked_envs(task.env, task.mask, n)
    check_observation_space(envs[0].observation_space)
    return DummyVecEnv([lambda env=env: ByPath(env) if is_nested(env.observation_space) else env for env in envs])  # type: ignore[misc]


class ByPath(gymnasium.ObservationWrapper):
    """An environment whose nested observations are one Dict of their entries by path."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = by_path(env.observation_space, env.observation_space)

    def observation(self, observation: Any) -> Any:
        return by_path(observation, self.env.observation_space)


def network_space(env: Any) -> gymnasium.Space:
    """What the shared network sees of the environments that `vec_env` made."""
    first = env.envs[0]
    return first.env.observation_space if isinstance(first, ByPath) else first.observation_space


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
        policy_kwargs={
            "network": task.network,
            "network_seed": seed,
            "adam_eps": task.ppo.adam_eps,
            "network_space": network_space(env),
        },
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
