"""A task at one point of a sweep."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from parity.errors import CannotStart
from parity.task import PPOParams, Task
from parity.task.registry import validation_sentence

# What can be varied: field of PPOParams, or what a function below changes, or the torch threads of a process.
OF_PPO = ("n_envs", "n_steps", "batch_size", "n_epochs")
THREADS = "threads"
WIDTH = "width"
OF_RLLIB = {"env_runners": "num_env_runners", "learners": "num_learners"}


def concerns(name: str, framework: str) -> bool:
    """Whether a framework has what is varied; SB3 and the limit have one process, which samples and learns."""
    return name not in OF_RLLIB or framework.startswith("rllib")


def varied(task: Task, at: dict[str, int]) -> Task:
    """The task with these values in place of its own.

    Raises:
        CannotStart: it cannot have them.
    """
    for name, value in at.items():
        if name in OF_PPO:
            try:
                task = dataclasses.replace(task, ppo=PPOParams(**dataclasses.asdict(task.ppo) | {name: value}))
            except ValidationError as error:
                raise CannotStart(f"--sweep {name}={value}: {validation_sentence(error)}") from error
        elif name == WIDTH:
            task = dataclasses.replace(task, network=_wider(task, value))
        elif name in OF_RLLIB:
            task = dataclasses.replace(task, rllib_config=_with_field(task.rllib_config, OF_RLLIB[name], value))
    return task


def _wider(task: Task, width: int) -> Callable[..., Any]:
    if task.network is None or WIDTH not in inspect.signature(task.network).parameters:
        raise CannotStart(
            f"--sweep {WIDTH}: the network of task {task.id} takes no argument {WIDTH}; give it one "
            f"(observation_space, action_space, {WIDTH}=1)."
        )
    return functools.partial(task.network, **{WIDTH: width})


def _with_field(given: Any, field: str, value: int) -> Any:
    """What a task says as ``rllib_config``, with one field changed after it."""
    if isinstance(given, dict):
        return given | {field: value}
    if given is not None and not callable(given):
        changed = given.copy(copy_frozen=False)
        setattr(changed, field, value)
        return changed

    def edited(config: Any) -> Any:
        config = given(config) if given is not None else config
        setattr(config, field, value)
        return config

    return edited
