"""From a task to the ``PPOConfig`` that RLlib trains, with the user's changes to it."""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import ray
from ray import cloudpickle
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.experiment.trial import TRIAL_INFO
from ray.tune.registry import register_env

from parity.errors import CannotStart, in_short, in_words, one_line
from parity.frameworks import hyperparameters
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.network import build_network, check_network, check_observation_space, parts_of
from parity.frameworks.rllib.env import (
    DEFAULT_AGENT,
    OnlyAgent,
    agent_spaces,
    has_choice,
    learning_agent,
    make_multi_agent_env,
    may_be_mask,
)
from parity.frameworks.rllib.mapping import learning_module, modules_of
from parity.frameworks.rllib.module import (
    FlatNetwork,
    SharedNetworkModule,
    holds_observations,
    is_wrapped,
    unmasked_space,
)
from parity.frameworks.rllib.pettingzoo import inner, mask_size
from parity.frameworks.shown import shown_observations
from parity.task import Task
from parity.task.masks import MASK_KEY, MaskedEnv
from parity.task.registry import FILE_MODULE_PREFIX

AgentSpaces = dict[str, tuple[gymnasium.Space, gymnasium.Space]]


@dataclasses.dataclass(frozen=True)
class Port:
    """What RLlib will train for a task.

    Attributes:
        config: the final configuration, not frozen.
        learning_agent: the agent compared with SB3.
        learning_module: the module that plays it.
        agents: agent id -> (observation space, action space).
        is_reference_module: whether the learning agent plays parity's own module.
        checks_environment: whether the user's configuration lets RLlib check environments. ``config`` never does: the check
            plays random actions, illegal ones too, so that the same port would stop or not by chance.
        mask_key: the entry of the observations that holds the masks, which a brought module may read under another name.
    """

    config: PPOConfig
    learning_agent: str
    learning_module: str
    agents: AgentSpaces
    is_reference_module: bool
    checks_environment: bool = False
    mask_key: str = MASK_KEY


def build_port(task: Task, seed: int, device: str) -> Port:
    """The configuration for one trial.

    Raises:
        CannotStart: the port's environment, modules or configuration cannot be used.
    """
    return PortBuilder(task, seed, device).build()


class PortBuilder:
    """Makes the configuration for one trial; of the new API stack, where methods are not overridden."""

    def __init__(self, task: Task, seed: int, device: str) -> None:
        self.task, self.seed, self.device = task, seed, device
        self._specs: MultiRLModuleSpec | None = None
        # Why agents have no module; of no account where the user's function brings others.
        self._refused: list[CannotStart] = []

    def build(self) -> Port:
        """Raises as `build_port`."""
        for name in ("ray.rllib", "ray._common.deprecation"):
            logging.getLogger(name).setLevel(logging.ERROR)
        task = self.task
        check_brought(task)
        pickle_task_files_by_value()
        if is_whole(task):
            config = self.checked(brought_config(task)).debugging(seed=self.seed * SEED_STRIDE)
            config = with_only_agent(config, task)
            agents, agent = self._agents(lambda: make_env(config), "the env of rllib_config")
        else:
            agents, agent = self._agents(lambda: make_multi_agent_env(task), "multi_agent_env")
            config = self.reference(agents, agent)
            given = config.env
            if task.rllib_config is not None:
                config = self._edited(config, agents, agent)
            config = self.checked(config)
            if config.env != given:
                agents, agent = agents_of(make_env(config), task)
        module = learning_module(config, agent)
        checks_environment = not config.disable_env_checking
        config.disable_env_checking = True
        is_reference = task.rllib_module is None and not is_whole(task)
        return Port(config, agent, module, agents, is_reference, checks_environment, mask_key(task, *agents[agent]))

    def _agents(self, make: Callable[[], Any], who: str) -> tuple[AgentSpaces, str]:
        env = make()
        check_new(env, make(), f"Task {self.task.id}: {who}")
        return agents_of(env, self.task)

    def checked(self, config: PPOConfig) -> PPOConfig:
        """The configuration, if it is one of this stack."""
        if self._refused and config._rl_module_spec is self._specs:
            raise self._refused[0]
        if not (config.enable_rl_module_and_learner and config.enable_env_runner_and_connector_v2):
            raise CannotStart(
                f"Task {self.task.id}: rllib_config is on RLlib's old API stack; parity compares the new one: "
                "config.api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)."
            )
        return config

    def reference(self, agents: AgentSpaces, learner: str) -> PPOConfig:
        """parity's own configuration, with the modules that the task brings."""
        specs = {}
        for agent in agents:
            try:
                specs[str(agent)] = self._module_spec(agent, agents, learner)
            except CannotStart as error:
                self._refused.append(error)
        self._specs = MultiRLModuleSpec(rl_module_specs=specs)
        training, env_runners, _ = hyperparameters.to_rllib(self.task.ppo)
        return (
            self.common(agents, learner, training, env_runners)
            .api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)
            .learners(num_learners=0, num_gpus_per_learner=1 if self.device == "cuda" else 0)
            .multi_agent(policies=list(map(str, agents)))
            .rl_module(rl_module_spec=self._specs)
        )

    def common(
        self, agents: AgentSpaces, learner: str, training: dict[str, Any], env_runners: dict[str, Any]
    ) -> PPOConfig:
        """What both stacks are told alike."""
        # A module whose agent has one action has nothing to learn; training it costs time and changes nothing.
        trained = [str(agent) for agent, (_, space) in agents.items() if has_choice(space)] or [str(learner)]
        return (
            PPOConfig()
            .framework("torch")
            # RLlib's own check steps the environment with an unmasked random action, which a strict one refuses.
            .environment(register(self.task), disable_env_checking=True)
            .env_runners(**env_runners)
            .training(**training)
            .multi_agent(policy_mapping_fn=agent_is_module, policies_to_train=trained)
            .reporting(
                min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=0, min_train_timesteps_per_iteration=0
            )
            .debugging(seed=self.seed * SEED_STRIDE, log_level="ERROR")
        )

    def _module_spec(self, agent: str, agents: AgentSpaces, learner: str) -> RLModuleSpec:
        brought = self.task.rllib_module if agent == learner else self.task.other_modules.get(str(agent))
        if brought is not None:
            return RLModuleSpec(module_class=brought)
        network = reference_network(self.task, agent, agents, learner, self.seed)
        return RLModuleSpec(module_class=SharedNetworkModule, model_config=network)

    def _edited(self, config: PPOConfig, agents: AgentSpaces, learner: str) -> PPOConfig:
        """The configuration as the user's function leaves it. What parity's own said of modules that it replaces goes."""
        modules, trained, env = self.modules(config), config.policies_to_train, config.env
        edited = self.task.rllib_config(config)
        if not isinstance(edited, PPOConfig):
            raise CannotStart(
                f"Task {self.task.id}: rllib_config returned {type(edited).__name__}; return the PPOConfig that it was given."
            )
        policies, own = set(edited.policies), set(map(str, agents))
        if policies == own:
            return edited
        if edited.policies_to_train == trained and not policies >= set(trained):
            edited.policies_to_train = None
        if edited.env != env:
            return edited  # with agents of its own
        if edited.policy_mapping_fn is agent_is_module and not policies >= own:
            raise CannotStart(
                f"Task {self.task.id}: rllib_config names the policies {in_words(sorted(map(str, policies)))} and not which "
                "agent plays which: give policy_mapping_fn in the same config.multi_agent(...)."
            )
        return self.with_modules(edited, modules, agents, learner)

    def modules(self, config: PPOConfig) -> Any:
        """What the configuration says of modules."""
        return config._rl_module_spec

    def with_modules(self, edited: PPOConfig, specs: Any, agents: AgentSpaces, learner: str) -> PPOConfig:
        """Gives policies of the user's own, of which nothing is said, the modules of the agents that they play."""
        if edited._rl_module_spec is specs and len(specs.rl_module_specs) == len(agents):
            played = played_by(edited, agents, learner)
            of_policy = {policy: copy.copy(specs.rl_module_specs[agent]) for policy, agent in played.items()}
            edited.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=of_policy))
        return edited


def played_by(config: PPOConfig, agents: AgentSpaces, learner: str) -> dict[Any, str]:
    """Policy -> an agent that it plays; the learning agent goes first.

    A policy that plays nobody, such as one that is added to a league later, counts as the learning agent's: it may be its copy.
    """
    players = {agent: modules_of(config, agent) for agent in (learner, *agents)}
    return {
        policy: str(next((agent for agent, modules in players.items() if policy in modules), learner))
        for policy in config.policies
    }


def is_whole(task: Task) -> bool:
    """Whether the task brings a finished configuration, of which parity changes the seed alone."""
    return isinstance(task.rllib_config, PPOConfig | dict)


def check_brought(task: Task) -> None:
    brought = task.rllib_config
    wanted = "give a function that takes and returns a PPOConfig, a finished PPOConfig, or a dict of its fields"
    if isinstance(brought, type):
        raise CannotStart(f"Task {task.id}: rllib_config is the class {brought.__name__}; {wanted}.")
    if not (brought is None or is_whole(task) or callable(brought)):
        raise CannotStart(f"Task {task.id}: rllib_config is a {type(brought).__name__}; {wanted}.")
    if is_whole(task) and (task.rllib_module is not None or task.other_modules):
        raise CannotStart(
            f"Task {task.id}: rllib_config is a finished configuration, which is taken whole: put rllib_module and "
            "other_modules into its rl_module(...), or give a function as rllib_config."
        )


def pickle_task_files_by_value() -> None:
    """Pickles task files whole: Ray's other processes cannot import them under the names that they have here."""
    for name, module in list(sys.modules.items()):
        if name.startswith(FILE_MODULE_PREFIX):
            cloudpickle.register_pickle_by_value(module)


def check_new(env: Any, another: Any, who: str) -> None:
    """Checks that two calls made two environments, so that sub-environments do not play in one another's episodes."""
    if inner(env) is inner(another):
        raise CannotStart(
            f"{who} returns the same {type(inner(env)).__name__} at every call: make a new one each time."
        )


def agents_of(env: Any, task: Task) -> tuple[AgentSpaces, str]:
    """The spaces of every agent, and the one that is compared with SB3; closes ``env``."""
    try:
        agents = agent_spaces(env, task.id)
    finally:
        env.close()
    return agents, learning_agent(task, {name: space for name, (_, space) in agents.items()})


def register(task: Task) -> str:
    """Makes the task's multi-agent environment known to RLlib; returns its name there."""
    name = f"parity-{task.id}"
    register_env(name, lambda _: make_multi_agent_env(task))
    return name


def agent_is_module(agent_id: Any, episode: Any = None, **kwargs: Any) -> str:
    # Agents may have numbers for names, modules may not.
    return str(agent_id)


def reference_network(task: Task, agent: str, agents: AgentSpaces, learner: str, seed: int) -> dict[str, Any]:
    """The network of an agent for which no module was brought, checked: ``network``, ``seed`` and ``wrapped``.

    Raises:
        CannotStart: its observations have no mask, or the network cannot be used.
    """
    observation_space, action_space = agents[agent]
    if not isinstance(observation_space, gymnasium.spaces.Dict) or MASK_KEY not in observation_space.spaces:
        raise CannotStart(
            f'Task {task.id}: the observation space of agent "{agent}" has no entry "{MASK_KEY}"; add the mask there '
            "(int8, one entry per action), or bring the agent's module."
        )
    is_alike = agents[agent] == agents[learner]
    network = task.network if is_alike else FlatNetwork
    assert network is not None
    # Of agents with other spaces nobody says more than these do.
    wrapped = (
        not is_alike
        or not holds_observations(observation_space)
        or is_wrapped(observation_space, single_agent_space(task))
    )
    space = unmasked_space(observation_space, wrapped)
    check_observation_space(space)
    shown = functools.partial(shown_observations, task, 2) if network is task.network else None
    check_network(build_network(network, space, action_space, seed), space, action_space, shown)
    return {"network": network, "seed": seed, "wrapped": wrapped}


def mask_key(task: Task, space: gymnasium.Space, action_space: gymnasium.Space) -> str:
    """The entry of the learning agent's observations that holds its mask.

    ``action_mask``; else what `Task.mask` names; else the only entry that can be one and is not in the single-agent
    environment's observation. ``action_mask`` where there is none: that is a finding.
    """
    entries = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {}
    kind, _, named = (task.mask or "").partition(":")
    if MASK_KEY in entries or not entries:
        return MASK_KEY
    if kind == "obs" and named in entries:
        return named
    single = parts_of(single_agent_space(task)) or {}
    possible = [
        name for name, part in entries.items() if name not in single and may_be_mask(part, mask_size(action_space))
    ]
    return possible[0] if len(possible) == 1 else MASK_KEY


def single_agent_space(task: Task) -> gymnasium.Space:
    """The single-agent environment's observation space, without its mask."""
    env = MaskedEnv(task.env(), task.mask)
    try:
        return env.observation_space
    finally:
        env.close()


def brought_config(task: Task) -> PPOConfig:
    """The user's finished configuration, copied."""
    if isinstance(task.rllib_config, dict):
        try:
            unknown = [key for key in task.rllib_config if not _is_field(key)]
            config = PPOConfig().update_from_dict(copy.deepcopy(task.rllib_config))
        except Exception as error:
            raise CannotStart(f"Task {task.id}: rllib_config: {in_short(error)}.") from error
        if unknown:
            raise CannotStart(
                f"Task {task.id}: rllib_config has {', '.join(map(repr, unknown))}, no field of the PPOConfig of ray "
                f"{ray.__version__}, which would take it and never read it; correct or delete it."
            )
    else:
        config = task.rllib_config.copy(copy_frozen=False)
    if config.env is None and task.multi_agent_env is not None:
        config.environment(register(task))
    return config


def _is_field(key: str) -> bool:
    """Whether ``AlgorithmConfig.update_from_dict`` uses this key; it accepts unknown ones without an error."""
    name = PPOConfig._translate_special_keys(key, warn_deprecated=False)
    return key in ("multiagent", "_enable_new_api_stack", TRIAL_INFO) or hasattr(PPOConfig(), name)


def with_only_agent(config: PPOConfig, task: Task) -> PPOConfig:
    """A configuration of a single-agent environment with that as the only agent of a ``MultiAgentEnv``.

    ``ray.rllib.env.multi_agent_env.make_multi_agent`` makes terminations of truncations.
    """
    env = make_env(config)
    env.close()
    if isinstance(env, MultiAgentEnv):
        return config
    _, make = config.algo_class._get_env_id_and_creator(config.env, config)
    name = f"parity-{task.id}-only-agent"
    register_env(name, lambda context: OnlyAgent(make(context)))
    config.environment(name)
    if config.enable_env_runner_and_connector_v2 and not config.is_multi_agent:
        # By this RLlib tells which env runner it needs.
        config.multi_agent(policies={DEFAULT_AGENT}, policy_mapping_fn=agent_is_module)
    return config


def make_env(config: PPOConfig, worker_index: int = 0) -> Any:
    """An environment as the configuration itself makes it, for the env runner of that index."""
    env = config.env
    if env is None:
        raise CannotStart("rllib_config has no env: set config.environment(...), or give the task a multi_agent_env.")
    try:
        _, make = config.algo_class._get_env_id_and_creator(env, config)
        workers = {"worker_index": worker_index, "num_workers": config.num_env_runners}
        return make(EnvContext(config.env_config, **workers))
    except Exception as error:
        raise CannotStart(
            f"rllib_config: env {env if isinstance(env, str) else env.__name__} cannot be made: {type(error).__name__}: "
            f"{one_line(error)}; a name must be registered with ray.tune.register_env in the task file."
        ) from error
