"""The task of each step of ``--climb``, derived from a port: from a toy to the whole port, one difference at a time.

Every step is judged by the ladder, but for the probes, which are trained for seconds and asked. A step that has no counterpart
in a port is not applicable, with the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import DtypeObservation, FilterObservation, FlattenObservation
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity import probes
from parity.bisect.hybrid import ENVIRONMENT, OTHER_SETTINGS, HybridBuilder
from parity.frameworks.rllib.env import has_choice
from parity.frameworks.rllib.module import FlatNetwork
from parity.probes.ask import failures
from parity.probes.transplant import with_port
from parity.task import Task
from parity.task import registry as tasks
from parity.task.masks import MASK_METHOD, MaskedEnv, choices, split_by_branch

TOY = "tiles"
# Every step has the port's settings, and the last step compares them by value.
NOT_COMPARED = dict.fromkeys(("PAR010", "PAR011", "PAR012"), "hyperparameters are judged at the last step")


class NotApplicable(Exception):
    """A step that the port has no counterpart of; the message is the reason."""


class AllLegal(gymnasium.Wrapper):
    """The environment without its mask: every action is allowed, an illegal one is played as the next legal one."""

    def __init__(self, env: MaskedEnv) -> None:
        super().__init__(env)
        self._masked = env

    def action_masks(self) -> np.ndarray:
        return np.ones_like(self._masked.action_masks())

    def step(self, action: Any) -> Any:
        return self.env.step(next_legal(action, self._masked.action_masks(), self.action_space))


def next_legal(action: Any, mask: np.ndarray, action_space: spaces.Space) -> Any:
    """``action`` with every illegal sub-action counted up, and on from 0, to a legal one. ``mask``: bool ``[n_logits]``."""
    picked = np.asarray(action).reshape(-1).astype(np.int64)
    for i, legal in enumerate(split_by_branch(mask, choices(action_space))):
        following = np.roll(legal, -picked[i])
        picked[i] = (picked[i] + following.argmax()) % len(legal)
    return picked.reshape(np.shape(action)).astype(action_space.dtype) if np.ndim(action) else np.int64(picked[0])


class LearnerAlone(MultiAgentEnv):
    """The port's environment with its learning agent alone: the others, which have no choice, are played inside."""

    def __init__(self, env: MultiAgentEnv, agent: str) -> None:
        super().__init__()
        self._env, self._agent = env, agent
        self.possible_agents = [agent]
        self.agents = [agent]
        self.observation_spaces = {agent: env.get_observation_space(agent)}
        self.action_spaces = {agent: env.get_action_space(agent)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._shown, infos = self._env.reset(seed=seed, options=options)
        while self._agent not in self._shown:
            self._shown, *_, infos = self._env.step(self._actions_of_others())
        return self._of_learner(self._shown), self._of_learner(infos)

    def step(self, action_dict: dict[str, Any]) -> Any:
        actions = self._actions_of_others() | action_dict
        reward = 0.0
        while True:
            self._shown, rewards, terminateds, truncateds, infos = self._env.step(actions)
            reward += float(rewards.get(self._agent, 0.0))
            over = any(ends.get("__all__") or ends.get(self._agent) for ends in (terminateds, truncateds))
            if self._agent in self._shown or over:
                break
            actions = self._actions_of_others()
        ends = self._of_learner(terminateds), self._of_learner(truncateds)
        return self._of_learner(self._shown), {self._agent: reward}, *ends, self._of_learner(infos)

    def close(self) -> None:
        self._env.close()

    def _of_learner(self, values: dict[Any, Any]) -> dict[Any, Any]:
        return {agent: values[agent] for agent in (self._agent, "__all__") if agent in values}

    def _actions_of_others(self) -> dict[Any, Any]:
        # Sampled from the space, as its only action need not be 0.
        others = [agent for agent in self._shown if agent != self._agent]
        return {agent: self._env.get_action_space(agent).sample() for agent in others}


def task_of_step(builder: HybridBuilder, key: str) -> Task:
    """The task of a step of `parity.bisect.steps.LADDER_STEPS`.

    Raises:
        NotApplicable: the port has no counterpart of this step.
    """
    task = STEP_TASKS[key](builder)
    return task if key == "settings" else dataclasses.replace(task, declared=NOT_COMPARED | task.declared)


def _toy(builder: HybridBuilder) -> Task:
    """A built-in task with the port's settings and classes."""
    task = dataclasses.replace(
        tasks.load(tasks.resolve(TOY)),
        id=f"{builder.task.id}.toy",
        ppo=builder.task.ppo,
        multi_agent_env=None,
        learning_agent=builder.port.learning_agent,
    )
    return builder.with_fields(task, _keys(builder, "setting", "class"))


def _dictionary(builder: HybridBuilder) -> Task:
    space = _observation_space(builder.task)
    if not isinstance(space, spaces.Dict):
        raise NotApplicable(f"the observation is one {type(space).__name__}")
    names = _without_images(space)
    if not names:
        raise NotApplicable("the observation has nothing but images")
    return _simplified(builder, "masked-dict", lambda env: FilterObservation(env, names), FlatNetwork)


def _images(builder: HybridBuilder) -> Task:
    space = _observation_space(builder.task)
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    if not any(map(_is_image, parts)):
        raise NotApplicable("the observation has no image")
    return _simplified(builder, "masked-whole")


def _module(builder: HybridBuilder) -> Task:
    if not _keys(builder, "module"):
        raise NotApplicable("the learning agent plays the reference port's module")
    return builder.hybrid(_keys(builder, "setting", "class", "module"))


def _connectors(builder: HybridBuilder) -> Task:
    if not _keys(builder, "connector"):
        raise NotApplicable("the port has no connectors of its own")
    return builder.hybrid(_keys(builder, "setting", "class", "module", "connector"))


def _alone(builder: HybridBuilder) -> Task:
    _need_environment(builder)
    if len(builder.agents) > 1 and (choosing := _others_with_a_choice(builder)):
        raise NotApplicable(f"{', '.join(choosing)} has a choice, and somebody has to make it")
    agent = builder.port.learning_agent
    return dataclasses.replace(
        builder.hybrid(_keys(builder, "setting", "class", "module", "connector")),
        id=f"{builder.task.id}.alone",
        multi_agent_env=lambda: LearnerAlone(builder.make_environment(), agent),
        other_modules={},
    )


def _one_action_agent(builder: HybridBuilder) -> Task:
    _need_environment(builder)
    if len(builder.agents) == 1:
        raise NotApplicable("the port has one agent")
    if choosing := _others_with_a_choice(builder):
        raise NotApplicable(f"{', '.join(choosing)} has a choice")
    return builder.hybrid(_keys(builder, "setting", "class", "module", "connector", "environment"))


def _simplest(builder: HybridBuilder, all_legal: bool) -> Task:
    """As little of the observation as there is: one vector without images, where that leaves something."""
    space = _observation_space(builder.task)
    is_dict = isinstance(space, spaces.Dict)
    names = _without_images(space) if is_dict else []
    mask = "all-legal" if all_legal else "masked"

    def with_mask(env: Any) -> Any:
        return AllLegal(env) if all_legal else env

    if (is_dict and not names) or _is_image(space):
        return _simplified(builder, f"{mask}-whole", with_mask)

    def flat(env: Any) -> Any:
        env = with_mask(env)
        env = FlattenObservation(FilterObservation(env, names) if is_dict else env)
        return DtypeObservation(env, np.float32)

    return _simplified(builder, f"{mask}-flat", flat, FlatNetwork)


def _simplified(
    builder: HybridBuilder, name: str, wrap: Callable[[Any], Any] = lambda env: env, network: Any = None
) -> Task:
    """The task with its environment in a wrapper, and the port's settings and classes.

    ``network``: of observations that the task's own network does not fit; None for that.
    """
    task = builder.task
    simplified = dataclasses.replace(
        task,
        id=f"{task.id}.{name}",
        env=lambda: wrap(MaskedEnv(task.env(), task.mask)),
        network=network or builder.network,
        mask=f"method:{MASK_METHOD}",
        multi_agent_env=None,
        learning_agent=builder.port.learning_agent,
        rllib_module=None,
        other_modules={},
        rllib_config=None,
        sb3_model=None if network else task.sb3_model,
        parameter_map=None,
        reference=None,
    )
    return builder.with_fields(simplified, _keys(builder, "setting", "class"))


STEP_TASKS: dict[str, Callable[[HybridBuilder], Task]] = {
    "toy": _toy,
    "all-legal": partial(_simplest, all_legal=True),
    "masked": partial(_simplest, all_legal=False),
    "dictionary": _dictionary,
    "images": _images,
    "module": _module,
    "connectors": _connectors,
    "alone": _alone,
    "one-action-agent": _one_action_agent,
    "whole": attrgetter("task"),
    "settings": attrgetter("task"),
}


def _keys(builder: HybridBuilder, *kinds: str) -> list[str]:
    return [part.key for part in builder.parts.parts if part.kind in kinds]


def _need_environment(builder: HybridBuilder) -> None:
    if ENVIRONMENT not in builder.parts.keys:
        raise NotApplicable("the port has no MultiAgentEnv of its own")


def _others_with_a_choice(builder: HybridBuilder) -> list[str]:
    learner = builder.port.learning_agent
    return [agent for agent, (_, space) in builder.agents.items() if agent != learner and has_choice(space)]


def _observation_space(task: Task) -> spaces.Space:
    env = MaskedEnv(task.env(), task.mask)
    env.close()
    return env.observation_space


def _without_images(space: Any) -> list[str]:
    return [name for name, part in space.spaces.items() if not _is_image(part)]


def _is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) >= 2


def probe_failures(builder: HybridBuilder, name: str) -> list[str]:
    """Claims of a probe that do not hold with the port's classes and connectors, in words.

    The probe keeps its own hyperparameters, which are made for its size. Connectors are written for the port's observations:
    where training raises with them, they are left out.
    """
    probe = probes.get(name)
    classes = [part.key for part in builder.parts.parts if part.kind == "class" or part.group == OTHER_SETTINGS]
    failed = []
    for keys in ([*classes, *_keys(builder, "connector")], classes):
        port = dataclasses.replace(
            builder.task,
            learning_agent=builder.port.learning_agent,
            network=builder.network,
            rllib_config=None,
            rllib_module=None,
            other_modules={},
        )
        failed = failures(probe, "rllib", with_port(probe, builder.with_fields(port, keys) if keys else port))
        if not any(failure.claim == "it trains" for failure in failed):
            break
    return [f"{each.claim}: {each.observed}" + (f" ({each.cause})" if each.cause else "") for each in failed]
