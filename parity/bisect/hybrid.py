"""Takes a port apart, and makes a hybrid of any choice of its parts: a task whose other parts are the reference port's."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from parity.bisect.config_fields import (
    CLASSES,
    CONNECTORS,
    FIELDS_OF,
    HYPERPARAMETERS,
    differing_fields,
    public,
    settings_among,
)
from parity.bisect.hybrid_module import MASK, NETWORK, SAMPLING, VALUE, hybrid_module, pieces_of, separable
from parity.bisect.parts import Part, PortParts
from parity.bisect.reference_port import (
    Agents,
    SingleAgentAmongOthers,
    UnmaskedFlatModule,
    has_mask,
    sb3_network,
    why_not_replaceable,
)
from parity.errors import CannotStart, in_short
from parity.frameworks.rllib.config import Port, build_port, make_env, single_agent_space
from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
from parity.frameworks.rllib.mapping import is_trained
from parity.frameworks.rllib.module import SharedNetworkModule, is_wrapped
from parity.task import Task
from parity.task import registry as tasks
from parity.task.masks import MaskedEnv

# Keys of parts.
ENVIRONMENT, POLICIES, TRAINED, SPECIFICATION = "multi_agent_env", "policies", "policies_to_train", "rl_module_spec"
# What the keys of a module's pieces and of other agents' modules begin with; the former is also the pieces' group.
MODULE, OTHER = "module", "other_modules"
# Groups of settings.
SETTINGS, OTHER_SETTINGS = "hyperparameters", "other settings"
_PIECES = {NETWORK: "network", MASK: "mask", VALUE: "value function", SAMPLING: "sampling"}
# Key of the part -> its name, and the attribute of the configuration that holds the class.
_CLASS_NAMES = {
    "learner_class": ("learner class", "learner_class"),
    "env_runner_class": ("env runner class", "env_runner_cls"),
    "callbacks_class": ("callbacks", "callbacks_class"),
}


def hybrid(text: str, yours: Collection[str], near: str | None = None) -> Task:
    """The hybrid of a task file, for the files that ``parity bisect`` writes; ``near``: where a relative ``text`` counts from.

    Raises:
        CannotStart: the task cannot be loaded, or has no such part.
    """
    if near is not None and ".py" in text:
        text = os.path.normpath(Path(near).parent / text)
    builder = HybridBuilder(tasks.load(tasks.resolve(text)))
    keys = builder.parts.keys
    unknown = [key for key in yours if key not in keys]
    if unknown:
        raise CannotStart(
            f"--task {text}: the port has no part {', '.join(unknown)}; it has {', '.join(sorted(keys))}."
        )
    return builder.hybrid(yours)


def build_error(task: Task, error: Exception) -> str:
    """Which of the task's fields raises ``error`` while the port is built, as a sentence without a full stop."""
    raised = in_short(error)
    # The configuration is applied last: without the environment alone it could not be.
    without: dict[str, dict[str, Any]] = {
        "your rllib_config": {"rllib_config": None},
        "your multi_agent_env": {"multi_agent_env": None, "learning_agent": None, "rllib_config": None},
    }
    for label, fields in without.items():
        if task.network is None or all(getattr(task, name) is None for name in fields):
            continue
        try:
            _build(dataclasses.replace(task, **fields))
        except Exception:
            # Not this field, or not it alone; the sentence below reports the error.
            continue
        return f"{label} raises {raised}; without it the port is built"
    return f"your port raises {raised} while it is built"


class HybridBuilder:
    """Knows the parts of one port, and builds hybrids.

    Attributes:
        task: as the user wrote it.
        network: the right network, of the learning agent.
        port, reference: what RLlib trains for the task, and for the reference port with the same agents.
        agents: observation and action space of each of the user's agents.
        parts: in which parts the two differ.

    Raises:
        CannotStart: the task's own port cannot be built.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        # SB3's names of the network's parameters begin with the prefix.
        self._prefix = "" if task.network is None else "network."
        self.network = sb3_network(task) if task.network is None else task.network
        self.port = _build(task)
        self.agents: Agents = dict(self.port.agents)
        notes = []
        self._fixed: dict[str, type] = {}
        unmasked: dict[str, type] = {}
        for agent, (observation_space, action_space) in self._others().items():
            reason = why_not_replaceable(observation_space, action_space)
            if reason is not None:
                notes.append(f"the module of agent {agent} is yours in every hybrid ({reason})")
                self._fixed[agent] = self._class_of(agent)
            elif not has_mask(observation_space):
                unmasked[agent] = UnmaskedFlatModule
        self._other_modules = self._fixed | unmasked
        self.reference = _build(self._reference_task(f"{task.id}.reference"))
        if task.network is None:
            notes.append("the reference port's network is the policy network of your sb3_model")
        if self._module_class is not None and not self._separable:
            name = self._module_class.__name__
            notes.append(f"the logits of {name} cannot be had without its mask: both go together")
        parts = (*self._module_parts(), *self._agent_parts(), *self._config_parts())
        self.parts = PortParts(task.id, parts, fixed=tuple(notes))

    # --- the port's parts

    def _module_parts(self) -> list[Part]:
        parts = []
        if self._module_class is not None:
            name = self._module_class.__name__
            parts = [
                Part(f"{MODULE}.{piece}", f"the {_PIECES[piece]} of your module ({name})", "module", MODULE)
                for piece in self._pieces
                if self._separable or piece != NETWORK
            ]
        if self._replaces_the_specification:
            name = self._class_of(self.port.learning_agent).__name__
            parts.append(Part(SPECIFICATION, f"the rl_module_spec of your rllib_config ({name})", "agents"))
        return parts

    def _agent_parts(self) -> list[Part]:
        parts = []
        if self.task.multi_agent_env is not None or self._registers_environment:
            env = make_env(self.port.config)
            parts.append(Part(ENVIRONMENT, f"your env wrapper ({type(env).__name__})", "environment"))
            env.close()
        for agent in self._others():
            module_class = self._class_of(agent)
            if agent not in self._fixed and module_class is not SharedNetworkModule:
                label = f"your module of the other agent {agent} ({module_class.__name__})"
                parts.append(Part(f"{OTHER}.{agent}", label, "agents"))
        config, reference = self.port.config, self.reference.config
        same_mapping = config.policy_mapping_fn is reference.policy_mapping_fn
        if set(config.policies) != set(reference.policies) or not same_mapping:
            parts.append(Part(POLICIES, "your policies and policy_mapping_fn", "agents"))
        if _trained_agents(self.port, self.agents) != _trained_agents(self.reference, self.agents):
            asked = config.policies_to_train
            shown = "a function" if callable(asked) else asked
            parts.append(Part(TRAINED, f"your policies_to_train ({shown})", "agents"))
        return parts

    def _config_parts(self) -> list[Part]:
        config, reference = self.port.config, self.reference.config
        differing = differing_fields(config, reference)
        parts = []
        for key in CONNECTORS:
            if differing & set(FIELDS_OF[key]):
                name = key.removesuffix("_connector").replace("_", "-")
                parts.append(Part(key, f"your {name} connector", "connector"))
        for key in CLASSES:
            if differing & set(FIELDS_OF[key]):
                name, attribute = _CLASS_NAMES[key]
                shown = getattr(getattr(config, attribute), "__name__", None)
                parts.append(Part(key, f"your {name}" + (f" ({shown})" if shown else ""), "class"))
        for field in settings_among(differing):
            yours, theirs = _value_in_words(config, field), _value_in_words(reference, field)
            group = SETTINGS if field in HYPERPARAMETERS else OTHER_SETTINGS
            parts.append(Part(public(field), f"{public(field)} {yours}", "setting", group, yours, theirs))
        return parts

    def _others(self) -> Agents:
        return {agent: both for agent, both in self.agents.items() if agent != self.port.learning_agent}

    @functools.cached_property
    def _module_class(self) -> type | None:
        """The user's module class of the learning agent, which hybrids take apart; None where there is none."""
        if self.task.rllib_module is not None:
            return self.task.rllib_module
        module_class = self._class_of(self.port.learning_agent)
        return None if module_class is SharedNetworkModule else module_class

    @property
    def _pieces(self) -> list[str]:
        assert self._module_class is not None
        return pieces_of(self._module_class, has_mask(self.agents[self.port.learning_agent][0]))

    @functools.cached_property
    def _separable(self) -> bool:
        assert self._module_class is not None
        spaces = self.agents[self.port.learning_agent]
        config = self._specs[self.port.learning_module].model_config
        return not has_mask(spaces[0]) or separable(self._module_class, *spaces, config)

    @property
    def _replaces_the_specification(self) -> bool:
        """Whether ``rllib_config`` puts another module class than the one that the task asks for."""
        asked = self.task.rllib_module
        return asked is not None and self._class_of(self.port.learning_agent) is not asked

    @property
    def _registers_environment(self) -> bool:
        """Whether the configuration names an environment that parity did not register."""
        return self.port.config.env != f"parity-{self.task.id}"

    @functools.cached_property
    def _specs(self) -> dict[str, RLModuleSpec]:
        """Module id -> its specification as RLlib resolves it, defaults filled in."""
        config = self.port.config.copy(copy_frozen=False)
        learner = self.port.learning_agent
        agent_of = {self._module_of(agent): agent for agent in reversed(self.agents)}
        spaces = {module: self.agents[agent_of.get(module, learner)] for module in config.policies}
        return dict(config.get_multi_rl_module_spec(spaces=spaces).rl_module_specs)

    def _module_of(self, agent: str) -> str:
        if agent == self.port.learning_agent:
            return self.port.learning_module
        return self.port.config.policy_mapping_fn(agent, MultiAgentEpisode())

    def _class_of(self, agent: str) -> type:
        module_class = self._specs[self._module_of(agent)].module_class
        assert module_class is not None
        return module_class

    # --- hybrids

    def _reference_task(self, id: str) -> Task:
        """parity's reference port of the task, with the user's agents."""
        task, agent = self.task, self.port.learning_agent

        def reference_env() -> Any:
            env = MaskedEnv(task.env(), task.mask)
            if self._others():
                return SingleAgentAmongOthers(env, agent, self.agents)
            return SingleAgentAsMultiAgent(env, agent)

        return dataclasses.replace(
            task,
            id=id,
            network=self.network,
            multi_agent_env=reference_env,
            learning_agent=agent,
            rllib_module=None,
            other_modules=self._other_modules,
            rllib_config=None,
        )

    def hybrid(self, yours: Collection[str]) -> Task:
        """The task whose port has these parts of the user's, and otherwise those of the reference port."""
        keys = frozenset(yours)
        if keys == self.parts.keys:
            return self.task
        task = self._reference_task(f"{self.task.id}.{name_of(keys)}")
        if self.task.rllib_module is not None and (_pieces_among(keys) or SPECIFICATION in keys):
            task = dataclasses.replace(task, rllib_module=self._learning_module(keys))
        if ENVIRONMENT in keys and self.task.multi_agent_env is not None:
            task = dataclasses.replace(task, multi_agent_env=self.task.multi_agent_env)
        return dataclasses.replace(task, rllib_config=functools.partial(self._edit, keys))

    def with_fields(self, task: Task, keys: Collection[str]) -> Task:
        """``task`` with the user's settings, connectors and classes among ``keys``, and nothing else of the user's."""

        def edit(config: PPOConfig) -> PPOConfig:
            self._set_fields(frozenset(keys), config)
            return config

        return dataclasses.replace(task, rllib_config=edit)

    def make_environment(self) -> Any:
        """One environment of the user's port."""
        _build(self.task)
        return make_env(self.port.config)

    def _edit(self, keys: frozenset[str], config: PPOConfig) -> PPOConfig:
        theirs = self._set_fields(keys, config)
        if ENVIRONMENT in keys and self._registers_environment:
            config.env, config.env_config = theirs.env, theirs.env_config
        self._set_policies(keys, config, theirs)
        return config

    def _set_fields(self, keys: frozenset[str], config: PPOConfig) -> PPOConfig:
        """Sets the fields of the settings, connectors and classes among ``keys``; returns the user's configuration."""
        theirs = _build(self.task).config
        settings = {part.key for part in self.parts.of(keys) if part.kind == "setting"}
        fields = [field for field in vars(theirs) if public(field) in settings]
        fields += [field for key in FIELDS_OF if key in keys for field in FIELDS_OF[key] if hasattr(theirs, field)]
        for field in fields:
            setattr(config, field, getattr(theirs, field))
        return theirs

    def _set_policies(self, keys: frozenset[str], config: PPOConfig, theirs: PPOConfig) -> None:
        """Sets which modules there are, of what classes, who is played by which, and which are trained."""
        # A step of --climb may leave agents out.
        ours = config.rl_module_spec.rl_module_specs
        specs = {agent: ours[agent] for agent in self.agents if agent in ours}
        if _pieces_among(keys):
            model_config = self._specs[self.port.learning_module].model_config
            module_class = self._learning_module(keys)
            specs[self.port.learning_agent] = RLModuleSpec(module_class=module_class, model_config=model_config)
        for agent in specs:
            if f"{OTHER}.{agent}" in keys or agent in self._fixed:
                spec = self._specs[self._module_of(agent)]
                specs[agent] = RLModuleSpec(module_class=spec.module_class, model_config=spec.model_config)
        trains = _trained_agents(self.port if TRAINED in keys else self.reference, self.agents)
        trained = [agent for agent in trains if agent in specs]
        if POLICIES not in keys:
            config.policies_to_train = trained
        else:
            config.policies, config.policy_mapping_fn = theirs.policies, theirs.policy_mapping_fn
            # RLlib infers no spaces for a module that no agent is mapped to at first: those come from the user's side.
            spaces = self.agents if ENVIRONMENT in keys else self.reference.agents
            for agent, spec in specs.items():
                spec.observation_space, spec.action_space = spaces[agent]
            by_module = {self._module_of(agent): spec for agent, spec in specs.items()}
            specs = {module: copy.deepcopy(self._specs[module]) for module in theirs.policies} | by_module
            without_agent = set(specs) - {self._module_of(agent) for agent in self.agents}
            modules = {self._module_of(agent) for agent in trained}
            modules |= {module for module in without_agent if is_trained(theirs, module)}
            config.policies_to_train = theirs.policies_to_train if TRAINED in keys else sorted(modules, key=str)
        if SPECIFICATION in keys:
            config._rl_module_spec = theirs._rl_module_spec
        else:
            config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))

    def _learning_module(self, keys: frozenset[str]) -> type:
        """The module class of the learning agent, with the pieces among ``keys`` of the user's."""
        assert self._module_class is not None
        pieces = set(_pieces_among(keys))
        if not self._separable and MASK in pieces:
            pieces.add(NETWORK)
        if pieces >= set(self._pieces):
            return self._module_class
        wrapped = is_wrapped(self.agents[self.port.learning_agent][0], single_agent_space(self.task))
        return hybrid_module(
            self._module_class, pieces, self.network, self.task.parameter_map, self._prefix, seed=0, wrapped=wrapped
        )


def name_of(keys: Collection[str]) -> str:
    """For an id and a file: few parts by their names, many by their number."""
    if not keys:
        return "reference"
    names = sorted(keys)
    if len(names) <= 3:
        return "-".join(names).replace("_", "-")
    return f"{len(names)}-parts-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:6]}"


def _build(task: Task) -> Port:
    return build_port(task, seed=0, device="cpu")


def _pieces_among(keys: Collection[str]) -> list[str]:
    return [key.removeprefix(f"{MODULE}.") for key in sorted(keys) if key.startswith(f"{MODULE}.")]


def _trained_agents(port: Port, agents: Agents) -> list[str]:
    """The agents whose modules the configuration trains."""
    mapping = port.config.policy_mapping_fn
    return [agent for agent in agents if is_trained(port.config, mapping(agent, MultiAgentEpisode()))]


def _value_in_words(config: PPOConfig, field: str) -> str:
    value = getattr(config, field, None)
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
