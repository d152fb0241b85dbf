"""A port of which some parts are the user's and all others the reference port's, as a task that every command takes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from parity.bisect import module as modules
from parity.bisect.frame import Agents, BesideOthers, UnmaskedModule, can_be_replaced, has_mask
from parity.bisect.part import Anatomy, Part
from parity.bisect.settings import CLASSES, CONNECTORS, HYPERPARAMETERS, differing, groups_differing, public
from parity.bisect.sides import sb3_network
from parity.errors import CannotStart
from parity.frameworks.network import NetworkFactory
from parity.frameworks.rllib.config import Port, build_port, make_env
from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.task import Task
from parity.task import registry as tasks
from parity.task.masks import MaskedEnv

ENVIRONMENT, POLICIES, TRAINED, SPECIFICATION = "multi_agent_env", "policies", "policies_to_train", "rl_module_spec"
MODULE, OTHER = "module", "other_modules"
SETTINGS, REST = "hyperparameters", "other settings"


def mixture(text: str, yours: Collection[str], beside: str | None = None) -> Task:
    """The mixture of a task file, as the files that ``parity bisect`` writes call it.

    Args:
        text: the task, as ``--task`` says it.
        yours: keys of the parts that are the user's.
        beside: a file whose folder a relative ``text`` counts from.

    Raises:
        CannotStart: the task cannot be loaded, or has no such part.
    """
    if beside is not None and ".py" in text:
        text = os.path.normpath(Path(beside).parent / text)
    port = Dissected(tasks.load(tasks.resolve(text)))
    unknown = [key for key in yours if key not in port.anatomy.keys]
    if unknown:
        raise CannotStart(
            f"--task {text}: the port has no part {', '.join(unknown)}; it has {', '.join(sorted(port.anatomy.keys))}."
        )
    return port.mixture(yours)


class Dissected:
    """A port taken apart.

    Attributes:
        task: as the user wrote it.
        port, reference: the configurations that RLlib gets for it and for the reference port among the same agents.
        anatomy: their parts.

    Raises:
        CannotStart: the task's own port cannot be built.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.network, self._prefix = _network(task)
        self.port: Port = build_port(task, seed=0, device="cpu")
        self.agents: Agents = dict(self.port.agents)
        self._fixed: dict[str, type] = {}
        self._unmasked: dict[str, type] = {}
        notes = []
        for agent, found in self.agents.items():
            if agent == self.port.learning_agent:
                continue
            reason = can_be_replaced(found)
            if reason is not None:
                notes.append(f"the module of agent {agent} is yours in every mixture ({reason})")
                self._fixed[agent] = self._module_class(self._module_of(agent))
            elif not has_mask(found[0]):
                self._unmasked[agent] = UnmaskedModule
        self.reference: Port = build_port(self._reference_task(f"{task.id}.reference"), seed=0, device="cpu")
        self.anatomy = Anatomy(task.id, tuple(self._parts()), fixed=tuple(notes + self._notes()))

    # --- what there is

    def _parts(self) -> list[Part]:
        config, reference = self.port.config, self.reference.config
        found: list[Part] = []
        if self._brought is not None:
            name = self._brought.__name__
            words = {
                modules.NETWORK: f"the network of your module ({name})",
                modules.MASK: f"the mask of your module ({name})",
                modules.VALUE: f"the value function of your module ({name})",
                modules.SAMPLING: f"the sampling of your module ({name})",
            }
            found += [Part(f"{MODULE}.{piece}", words[piece], "module", MODULE) for piece in self._pieces()]
        if self._replaces_the_specification:
            named = self._module_class(self.port.learning_module).__name__
            found.append(Part(SPECIFICATION, f"the rl_module_spec of your rllib_config ({named})", "agents"))
        if self._brings_environment:
            found.append(Part(ENVIRONMENT, f"your env wrapper ({self._environment_name()})", "environment"))
        for agent in self.agents:
            if agent in self._fixed or agent == self.port.learning_agent:
                continue
            other = self._module_class(self._module_of(agent))
            if other is not SharedNetworkModule:
                found.append(
                    Part(f"{OTHER}.{agent}", f"your module of the other agent {agent} ({other.__name__})", "agents")
                )
        if self._maps_otherwise:
            found.append(Part(POLICIES, "your policies and policy_mapping_fn", "agents"))
        if self._trained_agents(self.port) != self._trained_agents(self.reference):
            asked = config.policies_to_train
            found.append(
                Part(TRAINED, f"your policies_to_train ({'a function' if callable(asked) else asked})", "agents")
            )
        for name in groups_differing(CONNECTORS, config, reference):
            found.append(Part(f"{name}_connector", f"your {name.replace('_', '-')} connector", "connector"))
        words = {"learner": "learner class", "env_runner": "env runner class", "callbacks": "callbacks"}
        for name in groups_differing(CLASSES, config, reference):
            made = {"learner": "learner_class", "env_runner": "env_runner_cls", "callbacks": "callbacks_class"}[name]
            shown = getattr(getattr(config, made), "__name__", None)
            found.append(Part(f"{name}_class", f"your {words[name]}" + (f" ({shown})" if shown else ""), "class"))
        for field in differing(config, reference):
            yours, theirs = _words(getattr(config, field, None)), _words(getattr(reference, field, None))
            group = SETTINGS if field in HYPERPARAMETERS else REST
            found.append(Part(public(field), f"{public(field)} {yours}", "setting", group, yours, theirs))
        return found

    def _notes(self) -> list[str]:
        found = []
        if self.task.network is None:
            found.append("the reference port's network is the policy network of your sb3_model")
        if self._brought is not None and not self._separable:
            found.append(f"the logits of {self._brought.__name__} cannot be had without its mask: both go together")
        return found

    @functools.cached_property
    def _brought(self) -> type | None:
        """The learning agent's module class where it is not parity's own."""
        if self.task.rllib_module is not None:
            return self.task.rllib_module
        if self._replaces_the_specification:
            return None
        found = self._module_class(self.port.learning_module)
        return None if found is SharedNetworkModule else found

    def _pieces(self) -> list[str]:
        assert self._brought is not None
        found = modules.pieces(self._brought, has_mask(self.agents[self.port.learning_agent][0]))
        return found if self._separable else [piece for piece in found if piece != modules.NETWORK]

    @functools.cached_property
    def _separable(self) -> bool:
        assert self._brought is not None
        spec = self._specs[self.port.learning_module]
        observation_space, action_space = self.agents[self.port.learning_agent]
        if not has_mask(observation_space):
            return True
        return modules.separable(self._brought, observation_space, action_space, spec.model_config)

    @property
    def _replaces_the_specification(self) -> bool:
        """Whether ``rllib_config`` puts another module class than the one that the task asks for."""
        asked = self.task.rllib_module
        return asked is not None and self._module_class(self.port.learning_module) is not asked

    @property
    def _brings_environment(self) -> bool:
        return self.task.multi_agent_env is not None or self._own_env

    @property
    def _own_env(self) -> bool:
        """Whether the configuration names an environment that parity did not register."""
        return self.port.config.env != f"parity-{self.task.id}"

    def _environment_name(self) -> str:
        env = make_env(self.port.config)
        try:
            return type(env).__name__
        finally:
            env.close()

    @property
    def _maps_otherwise(self) -> bool:
        ours, theirs = self.reference.config, self.port.config
        return set(theirs.policies) != set(ours.policies) or theirs.policy_mapping_fn is not ours.policy_mapping_fn

    @functools.cached_property
    def _specs(self) -> dict[str, RLModuleSpec]:
        """Module id -> its specification as RLlib resolves it, defaults filled in."""
        config = self.port.config.copy(copy_frozen=False)
        spaces = {
            module: self.agents[
                next((a for a in self.agents if self._module_of(a) == module), self.port.learning_agent)
            ]
            for module in config.policies
        }
        return dict(config.get_multi_rl_module_spec(spaces=spaces).rl_module_specs)

    def _module_class(self, module_id: str) -> type:
        found = self._specs[module_id].module_class
        assert found is not None
        return found

    def _module_of(self, agent: str) -> str:
        if agent == self.port.learning_agent:
            return self.port.learning_module
        return self.port.config.policy_mapping_fn(agent, MultiAgentEpisode())

    def _trained_agents(self, port: Port) -> list[str]:
        asked = port.config.policies_to_train
        ids = {agent: port.config.policy_mapping_fn(agent, MultiAgentEpisode()) for agent in self.agents}
        if asked is None:
            return list(self.agents)
        return [agent for agent, module in ids.items() if (asked(module) if callable(asked) else module in asked)]

    # --- what is made of it

    def _reference_task(self, id: str) -> Task:
        """parity's reference port of the task, among the agents of the user's."""
        task, agent = self.task, self.port.learning_agent
        others = {other: spaces for other, spaces in self.agents.items() if other != agent}

        def frame() -> Any:
            env = MaskedEnv(task.env(), task.mask)
            return BesideOthers(env, agent, self.agents) if others else SingleAgentAsMultiAgent(env, agent)

        return dataclasses.replace(
            task,
            id=id,
            network=self.network,
            multi_agent_env=frame,
            learning_agent=agent,
            rllib_module=None,
            other_modules=self._fixed | self._unmasked,
            rllib_config=None,
        )

    def mixture(self, yours: Collection[str]) -> Task:
        """The task whose port has these parts of the user's, and otherwise those of the reference port."""
        chosen = frozenset(yours)
        if chosen == self.anatomy.keys:
            return self.task
        id = f"{self.task.id}.{name_of(chosen)}"
        task = self._reference_task(id)
        if self.task.rllib_module is not None and (self._chosen_pieces(chosen) or SPECIFICATION in chosen):
            task = dataclasses.replace(task, rllib_module=self._composed(chosen))
        if ENVIRONMENT in chosen and self.task.multi_agent_env is not None:
            task = dataclasses.replace(task, multi_agent_env=self.task.multi_agent_env)
        return dataclasses.replace(task, rllib_config=functools.partial(self._edit, chosen))

    def _edit(self, chosen: frozenset[str], config: PPOConfig) -> PPOConfig:
        theirs = self.set_fields(chosen, config)
        if ENVIRONMENT in chosen and self._own_env:
            config.env, config.env_config = theirs.env, theirs.env_config
        self._agents_and_modules(chosen, config, theirs)
        return config

    def set_fields(self, chosen: frozenset[str], config: PPOConfig) -> PPOConfig:
        """Sets the fields of the settings, connectors and classes among ``chosen`` to the user's; returns the user's."""
        theirs = build_port(self.task, seed=0, device="cpu").config
        settings = {part.key for part in self.anatomy.parts if part.kind == "setting"} & chosen
        fields = [field for field in vars(theirs) if public(field) in settings]
        for groups, suffix in ((CONNECTORS, "connector"), (CLASSES, "class")):
            for name, names in groups.items():
                if f"{name}_{suffix}" in chosen:
                    fields += [field for field in names if hasattr(theirs, field)]
        for field in fields:
            setattr(config, field, getattr(theirs, field))
        return theirs

    def make_environment(self) -> Any:
        """One environment of the user's port."""
        build_port(self.task, seed=0, device="cpu")
        return make_env(self.port.config)

    def _agents_and_modules(self, chosen: frozenset[str], config: PPOConfig, theirs: PPOConfig) -> None:
        ours = config.rl_module_spec.rl_module_specs
        learner = self.port.learning_agent
        # A step of a climb may leave agents out.
        by_agent = {agent: ours[agent] for agent in self.agents if agent in ours}
        pieces = self._chosen_pieces(chosen)
        if pieces:
            model_config = self._specs[self.port.learning_module].model_config
            by_agent[learner] = RLModuleSpec(module_class=self._composed(chosen), model_config=model_config)
        for agent in by_agent:
            if f"{OTHER}.{agent}" in chosen or agent in self._fixed:
                spec = self._specs[self._module_of(agent)]
                by_agent[agent] = RLModuleSpec(module_class=spec.module_class, model_config=spec.model_config)
        trained = [a for a in self._trained_agents(self.port if TRAINED in chosen else self.reference) if a in by_agent]
        if POLICIES not in chosen:
            specs = by_agent
            config.policies_to_train = trained
        else:
            config.policies, config.policy_mapping_fn = theirs.policies, theirs.policy_mapping_fn
            # RLlib infers no spaces for a module that no agent is mapped to at first; it comes from the user's side.
            spaces = self.agents if ENVIRONMENT in chosen else self.reference.agents
            for agent, spec in by_agent.items():
                spec.observation_space, spec.action_space = spaces[agent]
            specs = {module: copy.deepcopy(self._specs[module]) for module in theirs.policies}
            specs |= {self._module_of(agent): spec for agent, spec in by_agent.items()}
            mapped = {self._module_of(agent) for agent in trained}
            spare = set(specs) - {self._module_of(agent) for agent in self.agents}
            asked = theirs.policies_to_train
            kept = {m for m in spare if asked is None or (asked(m) if callable(asked) else m in asked)}
            config.policies_to_train = theirs.policies_to_train if TRAINED in chosen else sorted(mapped | kept, key=str)
        if SPECIFICATION in chosen:
            config._rl_module_spec = theirs._rl_module_spec
        else:
            config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))

    def _chosen_pieces(self, chosen: frozenset[str]) -> list[str]:
        return [key.removeprefix(f"{MODULE}.") for key in sorted(chosen) if key.startswith(f"{MODULE}.")]

    def _composed(self, chosen: frozenset[str]) -> type:
        assert self._brought is not None
        pieces = set(self._chosen_pieces(chosen))
        if not self._separable and modules.MASK in pieces:
            pieces.add(modules.NETWORK)
        if pieces >= set(modules.pieces(self._brought, has_mask(self.agents[self.port.learning_agent][0]))):
            return self._brought
        return modules.composed(self._brought, pieces, self.network, self.task.parameter_map, self._prefix, seed=0)


def name_of(chosen: Collection[str]) -> str:
    """For an id and a file: few parts by their names, many by their number."""
    if not chosen:
        return "reference"
    names = sorted(chosen)
    return "-".join(names).replace("_", "-") if len(names) <= 3 else f"{len(names)}-parts-{_short(names)}"


def _short(names: list[str]) -> str:
    import hashlib

    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:6]


def _network(task: Task) -> tuple[NetworkFactory, str]:
    """The right network, and what SB3's names of its parameters begin with."""
    if task.network is not None:
        return task.network, "network."
    return sb3_network(task), ""


def _words(value: Any) -> str:
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
