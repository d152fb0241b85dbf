"""From a task to the ``PPOConfig`` of the old API stack, with the user's changes to it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.models.catalog import ModelCatalog
from ray.rllib.policy.policy import PolicySpec

from parity.errors import CannotStart
from parity.frameworks import hyperparameters
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.rllib.config import (
    AgentSpaces,
    Port,
    agent_is_module,
    agents_of,
    brought_config,
    check_brought,
    check_new,
    is_whole,
    make_env,
    mask_key,
    pickle_task_files_by_value,
    reference_network,
    register,
    with_only_agent,
)
from parity.frameworks.rllib.env import has_choice, make_multi_agent_env
from parity.frameworks.rllib.mapping import learning_module, modules_of
from parity.frameworks.rllib_old_stack.model import SharedNetworkModel, TorchMultiBinary
from parity.task import Task

_MULTI_BINARY = "parity-multibinary"


def old_form(task: Task) -> Task:
    """The task with what is brought for the old stack in the place of what is brought for the new one.

    A dict need not say that it is of the old stack: those of ray before 2.40 could not.
    """
    config = task.rllib_old_config
    if isinstance(config, dict):
        config = {"enable_rl_module_and_learner": False, "enable_env_runner_and_connector_v2": False, **config}
    return dataclasses.replace(task, rllib_config=config, rllib_module=task.rllib_old_model, other_modules={})


def build_port(task: Task, seed: int, device: str) -> Port:
    """The configuration for one trial.

    Raises:
        CannotStart: the port's environment, model or configuration cannot be used.
    """
    for name in ("ray.rllib", "ray._common.deprecation"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with under_its_own_name():
        return _build_port(old_form(task), seed, device)


@contextlib.contextmanager
def under_its_own_name() -> Iterator[None]:
    """Sentences of the code that both stacks share name the new one's fields."""
    try:
        yield
    except CannotStart as error:
        sentence = str(error).replace("rllib_config", "rllib_old_config").replace("rllib_module", "rllib_old_model")
        raise type(error)(sentence) from error


def _build_port(task: Task, seed: int, device: str) -> Port:
    check_brought(task)
    pickle_task_files_by_value()
    ModelCatalog.register_custom_action_dist(_MULTI_BINARY, TorchMultiBinary)
    if is_whole(task):
        config = _of_old_stack(task, brought_config(task)).debugging(seed=seed * SEED_STRIDE)
        config = with_only_agent(config, task)
        env = make_env(config)
        check_new(env, make_env(config), f"Task {task.id}: the env of rllib_config")
        agents, agent = agents_of(env, task)
    else:
        env = make_multi_agent_env(task)
        check_new(env, make_multi_agent_env(task), f"Task {task.id}: multi_agent_env")
        agents, agent = agents_of(env, task)
        config = _reference_config(task, agents, agent, seed, device)
        if task.rllib_config is not None:
            given = config.env
            config = _of_old_stack(task, _edited(task, config, agents, agent))
            if config.env != given:
                agents, agent = agents_of(make_env(config), task)
    checks_environment = not config.disable_env_checking
    config.disable_env_checking = True
    is_reference = task.rllib_module is None and not is_whole(task)
    module = learning_module(config, agent)
    return Port(config, agent, module, agents, is_reference, checks_environment, mask_key(task, *agents[agent]))


def _of_old_stack(task: Task, config: PPOConfig) -> PPOConfig:
    if config.enable_rl_module_and_learner or config.enable_env_runner_and_connector_v2:
        raise CannotStart(
            f"Task {task.id}: rllib_config is on RLlib's new API stack, and this is the framework rllib-old-stack: "
            "config.api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False), or give it as "
            "the task's field for the framework rllib."
        )
    if config.framework_str != "torch":
        raise CannotStart(
            f'Task {task.id}: rllib_config is for {config.framework_str}; parity compares PyTorch: config.framework("torch").'
        )
    return config


def _reference_config(task: Task, agents: AgentSpaces, learner: str, seed: int, device: str) -> PPOConfig:
    training, env_runners, _ = hyperparameters.to_rllib_old_stack(task.ppo)
    trained = [str(agent) for agent, (_, space) in agents.items() if has_choice(space)] or [str(learner)]
    policies = {str(agent): _policy(task, agent, agents, learner, seed) for agent in agents}
    config = (
        PPOConfig()
        .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        .framework("torch")
        .environment(register(task), disable_env_checking=True)
        .env_runners(**env_runners)
        .training(**training)
        .resources(num_gpus=1 if device == "cuda" else 0)
        .multi_agent(policies=policies, policy_mapping_fn=agent_is_module, policies_to_train=trained)
        .reporting(
            min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0, min_train_timesteps_per_iteration=0
        )
        .debugging(seed=seed * SEED_STRIDE, log_level="ERROR")
    )
    # A brought model is written for RLlib's preprocessors, which are on by default; parity's own has no use for them.
    return config.experimental(_disable_preprocessor_api=task.rllib_module is None)


def _policy(task: Task, agent: str, agents: AgentSpaces, learner: str, seed: int) -> PolicySpec:
    observation_space, action_space = agents[agent]
    if agent == learner and task.rllib_module is not None:
        model: dict[str, Any] = {"custom_model": task.rllib_module}
    else:
        model = {
            "custom_model": SharedNetworkModel,
            "custom_model_config": reference_network(task, agent, agents, learner, seed),
        }
        if type(action_space).__name__ == "MultiBinary":
            model["custom_action_dist"] = _MULTI_BINARY
    return PolicySpec(
        observation_space=observation_space,
        action_space=action_space,
        config=PPOConfig.overrides(model=model),
    )


def _edited(task: Task, config: PPOConfig, agents: AgentSpaces, learner: str) -> PPOConfig:
    """The configuration as the user's function leaves it; policies of its own that say nothing get parity's model."""
    given, trained, env = config.policies, config.policies_to_train, config.env
    edited = task.rllib_config(config)
    if not isinstance(edited, PPOConfig):
        raise CannotStart(
            f"Task {task.id}: rllib_config returned {type(edited).__name__}; return the PPOConfig that it was given."
        )
    own = set(edited.policies)
    if own == set(given) or edited.env != env:
        return edited
    if edited.policies_to_train == trained and not own >= set(trained):
        edited.policies_to_train = None
    if edited.policy_mapping_fn is agent_is_module and not own >= set(given):
        raise CannotStart(
            f"Task {task.id}: rllib_config names other policies and not which agent plays which: give policy_mapping_fn in "
            "the same config.multi_agent(...)."
        )
    players = {agent: modules_of(edited, agent) for agent in (learner, *agents)}
    policies = {}
    for policy in edited.policies:
        spec = edited.policies[policy] if isinstance(edited.policies, dict) else None
        agent = next((agent for agent, modules in players.items() if policy in modules), learner)
        says_nothing = spec is None or spec == PolicySpec()
        policies[policy] = given[str(agent)] if says_nothing else spec
    return edited.multi_agent(policies=policies)
