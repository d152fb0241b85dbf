"""A port's RLlib configuration on a probe: its connectors, learner, callbacks, and the hyperparameters that it changes.

A port's environment and modules do not fit a probe's spaces and stay behind.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import partial
from typing import Any

from parity.errors import CannotStart, in_short
from parity.frameworks import hyperparameters
from parity.probes.claims import Probe
from parity.task import Task

# Fields of a PPOConfig that belong to an environment and its agents, or to a single trial.
OF_THE_PROBE = (
    "env",
    "env_config",
    "disable_env_checking",
    "observation_space",
    "action_space",
    "policies",
    "policy_mapping_fn",
    "policies_to_train",
    "_rl_module_spec",
    "_model_config",
    "seed",
    "log_level",
    "min_time_s_per_iteration",
    "min_sample_timesteps_per_iteration",
    "min_train_timesteps_per_iteration",
)


def with_port(probe: Probe, port: Task) -> Task:
    """The probe's task, trained by RLlib as ``port`` configures it.

    A hyperparameter that the port's configuration sets as its own ``ppo`` says is the probe's here; one that it sets
    otherwise is a difference of the port, and stays. The learning agent has the port's name where the probe has one agent,
    as connectors and learners may look for it.

    Raises (when the task is used):
        CannotStart: the port's configuration cannot be applied to a probe.
    """
    task = probe.task
    if task.multi_agent_env is None:
        task = dataclasses.replace(task, learning_agent=port.learning_agent)
    if port.rllib_config is None:
        return task
    return dataclasses.replace(task, rllib_config=partial(_as_port, task, port))


def _as_port(task: Task, port: Task, config: Any) -> Any:
    own = config if task.rllib_config is None else task.rllib_config(config)
    # A function may edit what it is given in place, the modules' specification too.
    edited = _edited(task, port, copy.deepcopy(own))
    for field in OF_THE_PROBE:
        setattr(edited, field, getattr(own, field))
    for field, value in _hyperparameters(port).items():
        if getattr(edited, field) == value:
            setattr(edited, field, getattr(own, field))
    return edited


def _edited(task: Task, port: Task, config: Any) -> Any:
    if callable(port.rllib_config):
        try:
            edited = port.rllib_config(config)
        except Exception as error:
            raise CannotStart(
                f"rllib_config of task {port.id} cannot be applied to {task.id}: {in_short(error)}."
            ) from error
        if not isinstance(edited, type(config)):
            raise CannotStart(f"rllib_config of task {port.id} returned {type(edited).__name__}, no PPOConfig.")
        return edited
    from parity.frameworks.rllib.config import brought_config

    return brought_config(port)


def _hyperparameters(port: Task) -> dict[str, Any]:
    """Fields of ``PPOConfig`` as the port's ``ppo`` sets them, lengths of the rollout included."""
    training, env_runners, _ = hyperparameters.to_rllib(port.ppo)
    renamed = {"train_batch_size_per_learner": "_train_batch_size_per_learner"}
    return {renamed.get(name, name): value for name, value in (training | env_runners).items()}
