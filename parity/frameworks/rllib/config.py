"""From a task to the ``PPOConfig`` that RLlib trains, the user's last word included."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.tune.registry import ENV_CREATOR, _global_registry, register_env

from parity.errors import CannotStart
from parity.frameworks import hyperparameters
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.network import build_network, check_network
from parity.frameworks.rllib.env import agent_spaces, learning_agent, make_multi_agent_env
from parity.frameworks.rllib.module import FlatNetwork, SharedNetworkModule, unmasked_space
from parity.masks import MASK_KEY, n_logits
from parity.task import Task


@dataclasses.dataclass(frozen=True)
class Port:
    """What RLlib will train for a task.

    Attributes:
        config: the final configuration, not frozen.
        learning_agent: the agent compared with SB3.
        learning_module: the module that plays it.
        agents: agent id -> (observation space, action space).
        is_reference_module: whether the learning agent plays parity's own module.
    """

    config: PPOConfig
    learning_agent: str
    learning_module: str
    agents: dict[str, tuple[gymnasium.Space, gymnasium.Space]]
    is_reference_module: bool


def build_port(task: Task, seed: int, device: str) -> Port:
    """The configuration for one trial.

    Raises:
        CannotStart: the port's environment, modules or configuration cannot be used.
    """
    whole = task.rllib_config is not None and (isinstance(task.rllib_config, PPOConfig | dict))
    config = _brought_config(task) if whole else None
    env = _env_of(config) if config is not None and task.multi_agent_env is None else make_multi_agent_env(task)
    try:
        agents = agent_spaces(env, task.id)
    finally:
        env.close()
    agent = learning_agent(task, {name: space for name, (_, space) in agents.items()})
    if config is None:
        config = _reference_config(task, agents, agent, seed, device)
        if task.rllib_config is not None:
            config = _last_word(task, config)
    else:
        config.debugging(seed=seed * SEED_STRIDE)
    module = config.policy_mapping_fn(agent, None)
    is_reference = task.rllib_module is None and not whole
    return Port(config, agent, module, agents, is_reference)


def _reference_config(
    task: Task, agents: dict[str, tuple[gymnasium.Space, gymnasium.Space]], learner: str, seed: int, device: str
) -> PPOConfig:
    training, env_runners, _ = hyperparameters.to_rllib(task.ppo)
    name = f"parity-{task.id}"
    register_env(name, lambda _: make_multi_agent_env(task))
    # A module whose agent has one action has nothing to learn; training it costs time and changes nothing.
    trained = [agent for agent, (_, space) in agents.items() if n_logits(space) > 1] or [learner]
    return (
        PPOConfig()
        .api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)
        .framework("torch")
        # RLlib's own check steps the environment with an unmasked random action, which a strict one refuses.
        .environment(name, disable_env_checking=True)
        .env_runners(**env_runners)
        .training(**training)
        .learners(num_learners=0, num_gpus_per_learner=1 if device == "cuda" else 0)
        .multi_agent(policies=set(agents), policy_mapping_fn=_agent_is_module, policies_to_train=trained)
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={agent: _module_spec(task, agent, agents, learner, seed) for agent in agents}
            )
        )
        .reporting(
            min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0, min_train_timesteps_per_iteration=0
        )
        .debugging(seed=seed * SEED_STRIDE, log_level="ERROR")
    )


def _agent_is_module(agent_id: Any, episode: Any = None, **kwargs: Any) -> Any:
    return agent_id


def _module_spec(
    task: Task, agent: str, agents: dict[str, tuple[gymnasium.Space, gymnasium.Space]], learner: str, seed: int
) -> RLModuleSpec:
    brought = task.rllib_module if agent == learner else task.other_modules.get(agent)
    if brought is not None:
        return RLModuleSpec(module_class=brought)
    observation_space, action_space = agents[agent]
    if not isinstance(observation_space, gymnasium.spaces.Dict) or MASK_KEY not in observation_space.spaces:
        raise CannotStart(
            f'Task {task.id}: the observation space of agent "{agent}" has no entry "{MASK_KEY}"; add the mask there '
            "(int8, one entry per action), or bring the agent's module."
        )
    network = task.network if agent == learner or agents[agent] == agents[learner] else FlatNetwork
    assert network is not None
    space = unmasked_space(observation_space)
    check_network(build_network(network, space, action_space, seed), space, action_space)
    return RLModuleSpec(module_class=SharedNetworkModule, model_config={"network": network, "seed": seed})


def _last_word(task: Task, config: PPOConfig) -> PPOConfig:
    edited = task.rllib_config(config)
    if not isinstance(edited, PPOConfig):
        raise CannotStart(
            f"Task {task.id}: rllib_config returned {type(edited).__name__}; return the PPOConfig that it was given."
        )
    return edited


def _brought_config(task: Task) -> PPOConfig:
    """The user's finished configuration, copied: parity sets nothing in it but the seed."""
    if isinstance(task.rllib_config, dict):
        config = PPOConfig()
        try:
            return config.update_from_dict(dict(task.rllib_config))
        except Exception as error:
            raise CannotStart(f"Task {task.id}: rllib_config: {type(error).__name__}: {error}.") from error
    return task.rllib_config.copy(copy_frozen=False)


def _env_of(config: PPOConfig) -> Any:
    """An environment as the configuration itself makes it."""
    env = config.env
    if env is None:
        raise CannotStart("rllib_config has no env: set config.environment(...), or give the task a multi_agent_env.")
    if isinstance(env, str):
        if not _global_registry.contains(ENV_CREATOR, env):
            raise CannotStart(
                f'rllib_config: env "{env}" is not registered; call ray.tune.register_env in the task file.'
            )
        return _global_registry.get(ENV_CREATOR, env)(config.env_config)
    return env(config.env_config)
