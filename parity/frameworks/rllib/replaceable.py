"""Parts of a configuration that are the user's own and that RLlib has a standard one for: what does each cost?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list

from parity.frameworks.rllib.config import brought_config, is_whole
from parity.task import Task

_CONNECTORS = ("env_to_module_connector", "module_to_env_connector", "learner_connector")


def parts_of(config: Any) -> dict[str, Callable[[Any], Any]]:
    """Part, in words -> changes a configuration to the standard one in place."""
    parts: dict[str, Callable[[Any], Any]] = {}
    runner, learner = config.env_runner_cls, config._learner_class
    if runner is not None and not _is_known(runner):
        parts[f"env runner {runner.__name__}"] = lambda c: setattr(c, "env_runner_cls", None)
    if learner is not None and not _is_known(learner):
        parts[f"learner {learner.__name__}"] = lambda c: setattr(c, "_learner_class", None)
    for name in _CONNECTORS:
        if getattr(config, f"_{name}") is not None:
            parts[name] = functools.partial(_unset, f"_{name}")
    callbacks = [kind.__name__ for kind in force_list(config.callbacks_class) if kind is not RLlibCallback]
    if callbacks:
        parts[f"callbacks {', '.join(callbacks)}"] = lambda c: setattr(c, "callbacks_class", RLlibCallback)
    if config.episodes_to_numpy:
        parts["episodes_to_numpy=True"] = lambda c: setattr(c, "episodes_to_numpy", False)
    return parts


def without(task: Task, part: str) -> Task:
    """The task with a configuration in which the standard part stands in place of one of `parts_of`."""

    def changed(config: Any) -> Any:
        parts_of(config)[part](config)
        return config

    if is_whole(task):
        return dataclasses.replace(task, rllib_config=changed(brought_config(task)))
    given = task.rllib_config
    return dataclasses.replace(task, rllib_config=lambda config: changed(given(config) if given else config))


def _unset(field: str, config: Any) -> None:
    setattr(config, field, None)


def _is_known(kind: type) -> bool:
    return kind.__module__.startswith(("ray.rllib.", "parity.frameworks."))
