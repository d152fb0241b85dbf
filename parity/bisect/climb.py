"""From a probe to the whole port, one difference at a time: the steps, and the derived task of each.

Every step is judged by the ladder, but for the probes, which are trained for seconds and asked. A step that has no counterpart
in a port is not applicable, with the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.bisect.mixture import ENVIRONMENT, MODULE, REST, Dissected
from parity.bisect.step import Reached, Step
from parity.bisect.workers import climb_task, dissected
from parity.frameworks.rllib.env import has_choice
from parity.frameworks.rllib.module import FlatNetwork
from parity.task import Task
from parity.task import registry as tasks
from parity.task.masks import MaskedEnv, choices
from parity.task.registry import TaskRef

TOY = "tiles"
METHOD = "method:action_masks"


class NotApplicable(Exception):
    """A step that the port has no counterpart of; the message is the reason."""


class AllLegal(gymnasium.Wrapper):
    """The environment without its mask: every action is allowed, one that is not is played as the next that is."""

    def __init__(self, env: MaskedEnv) -> None:
        super().__init__(env)
        self._masked = env

    def action_masks(self) -> np.ndarray:
        return np.ones_like(self._masked.action_masks())

    def step(self, action: Any) -> Any:
        return self.env.step(next_legal(action, self._masked.action_masks(), self.action_space))


def next_legal(action: Any, mask: np.ndarray, action_space: spaces.Space) -> Any:
    """``action``, every part of it that ``mask`` (bool ``[n_logits]``) forbids counted up, around the end, to a legal one."""
    sizes = choices(action_space)
    picked = np.asarray(action).reshape(-1).astype(np.int64)
    starts = np.cumsum([0, *sizes[:-1]])
    for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        legal = mask[start : start + size]
        picked[i] = next((k % size for k in range(picked[i], picked[i] + size) if legal[k % size]), picked[i])
    return (
        np.array(picked.reshape(np.shape(action)), dtype=action_space.dtype) if np.ndim(action) else np.int64(picked[0])
    )


class Seen(gymnasium.Wrapper):
    """Less of each observation: entries of a ``Dict`` left out, or all of it in one vector; the mask is as it was."""

    def __init__(self, env: Any, entries: list[str] | None, flat: bool) -> None:
        super().__init__(env)
        self._entries, self._flat = entries, flat
        self._inner = self._part(env.observation_space)
        self.observation_space = flatten_space(self._inner) if flat else self._inner

    def action_masks(self) -> np.ndarray:
        return self.env.action_masks()  # type: ignore[attr-defined]

    def _part(self, space: Any) -> Any:
        if self._entries is None:
            return space
        return spaces.Dict({name: space.spaces[name] for name in self._entries})

    def _shown(self, observation: Any) -> Any:
        if self._entries is not None:
            observation = {name: observation[name] for name in self._entries}
        return np.asarray(flatten(self._inner, observation), dtype=np.float32) if self._flat else observation

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        return self._shown(observation), info

    def step(self, action: Any) -> Any:
        observation, *rest = self.env.step(action)
        return self._shown(observation), *rest


class Alone(MultiAgentEnv):
    """The port's environment with its learning agent alone: the others, which have no choice, are played inside."""

    def __init__(self, env: MultiAgentEnv, agent: str) -> None:
        super().__init__()
        self._env, self._agent = env, agent
        self.possible_agents = [agent]
        self.agents = [agent]
        self.observation_spaces = {agent: env.get_observation_space(agent)}
        self.action_spaces = {agent: env.get_action_space(agent)}

    def _mine(self, found: dict[Any, Any]) -> dict[Any, Any]:
        return {agent: found[agent] for agent in (self._agent, "__all__") if agent in found}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._shown, infos = self._env.reset(seed=seed, options=options)
        while self._agent not in self._shown:
            self._shown, *_, infos = self._env.step(self._forced())
        return self._mine(self._shown), self._mine(infos)

    def _forced(self) -> dict[Any, Any]:
        return {agent: self._only_action(agent) for agent in self._shown if agent != self._agent}

    def _only_action(self, agent: Any) -> Any:
        # The space's own is drawn from: it may count from another number than 0.
        return self._env.get_action_space(agent).sample()

    def step(self, action_dict: dict[Any, Any]) -> Any:
        actions = self._forced() | action_dict
        reward = 0.0
        while True:
            self._shown, rewards, terminateds, truncateds, infos = self._env.step(actions)
            reward += float(rewards.get(self._agent, 0.0))
            over = any(ends.get("__all__") or ends.get(self._agent) for ends in (terminateds, truncateds))
            if self._agent in self._shown or over:
                break
            actions = self._forced()
        ends = self._mine(terminateds), self._mine(truncateds)
        return self._mine(self._shown), {self._agent: reward}, *ends, self._mine(infos)

    def close(self) -> None:
        self._env.close()


class Ascent:
    """The steps of one port; each makes its task, or raises `NotApplicable`."""

    def __init__(self, port: Dissected) -> None:
        self.port, self.task = port, port.task
        env = MaskedEnv(self.task.env(), self.task.mask)
        self._space = env.observation_space
        env.close()
        self._settings = [part.key for part in port.anatomy.parts if part.kind in ("setting", "class")]
        self._connectors = [part.key for part in port.anatomy.parts if part.kind == "connector"]
        self._module = [part.key for part in port.anatomy.parts if part.group == MODULE]

    def toy(self) -> Task:
        """A built-in task with the port's settings and classes."""
        toy = tasks.load(tasks.resolve(TOY))
        own = dataclasses.replace(toy, id=f"{self.task.id}.toy", ppo=self.task.ppo, multi_agent_env=None)
        return self._with_settings(dataclasses.replace(own, learning_agent=self.port.port.learning_agent))

    def all_legal(self) -> Task:
        return self._simplified(self._plain(), legal=True)

    def masked(self) -> Task:
        return self._simplified(self._plain(), legal=False)

    def dictionary(self) -> Task:
        if not isinstance(self._space, spaces.Dict):
            raise NotApplicable(f"the observation is one {type(self._space).__name__}")
        return self._simplified(("dict", self._entries()), legal=False)

    def images(self) -> Task:
        if not _images(self._space):
            raise NotApplicable("the observation has no image")
        return self._simplified(("whole", None), legal=False)

    def module(self) -> Task:
        if not self._module:
            raise NotApplicable("the learning agent plays the reference port's module")
        return self.port.mixture([*self._settings, *self._module])

    def connectors(self) -> Task:
        if not self._connectors:
            raise NotApplicable("the port has no connectors of its own")
        return self.port.mixture([*self._settings, *self._module, *self._connectors])

    def alone(self) -> Task:
        self._needs_environment()
        if len(self.port.agents) > 1:
            choosing = self._choosing()
            if choosing:
                raise NotApplicable(f"{', '.join(choosing)} has a choice, and somebody has to make it")
        task = self.port.mixture([*self._settings, *self._module, *self._connectors])
        make = self.port.make_environment
        agent = self.port.port.learning_agent
        return dataclasses.replace(
            task, id=f"{self.task.id}.alone", multi_agent_env=lambda: Alone(make(), agent), other_modules={}
        )

    def one_action(self) -> Task:
        self._needs_environment()
        if len(self.port.agents) == 1:
            raise NotApplicable("the port has one agent")
        if self._choosing():
            raise NotApplicable(f"{', '.join(self._choosing())} has a choice")
        return self.port.mixture([*self._settings, *self._module, *self._connectors, ENVIRONMENT])

    def whole(self) -> Task:
        return self.task

    def _needs_environment(self) -> None:
        if ENVIRONMENT not in self.port.anatomy.keys:
            raise NotApplicable("the port has no MultiAgentEnv of its own")

    def _choosing(self) -> list[str]:
        learner = self.port.port.learning_agent
        return [agent for agent, (_, space) in self.port.agents.items() if agent != learner and has_choice(space)]

    def _entries(self) -> list[str]:
        """Entries of the observation that are no image."""
        assert isinstance(self._space, spaces.Dict)
        names = [name for name, part in self._space.spaces.items() if not _is_image(part)]
        if not names:
            raise NotApplicable("the observation has nothing but images")
        return names

    def _plain(self) -> tuple[str, list[str] | None]:
        """As little of the observation as there is: one vector without images, where that leaves something."""
        if isinstance(self._space, spaces.Dict):
            names = [name for name, part in self._space.spaces.items() if not _is_image(part)]
            return ("flat", names) if names else ("whole", None)
        return ("whole", None) if _is_image(self._space) else ("flat", None)

    def _simplified(self, seen: tuple[str, list[str] | None], legal: bool) -> Task:
        task = self.task
        form, entries = seen

        def env() -> gymnasium.Env:
            found: Any = MaskedEnv(task.env(), task.mask)
            found = AllLegal(found) if legal else found
            return found if form == "whole" else Seen(found, entries, flat=form == "flat")

        made = dataclasses.replace(
            task,
            id=f"{task.id}.{'all-legal' if legal else 'masked'}-{form}",
            env=env,
            network=self.port.network if form == "whole" else FlatNetwork,
            mask=METHOD,
            multi_agent_env=None,
            learning_agent=self.port.port.learning_agent,
            rllib_module=None,
            other_modules={},
            rllib_config=None,
            sb3_model=task.sb3_model if form == "whole" else None,
            parameter_map=None,
            reference=None,
        )
        return self._with_settings(made)

    def _with_settings(self, task: Task) -> Task:
        def edit(config: Any) -> Any:
            self.port.set_fields(frozenset(self._settings), config)
            return config

        return dataclasses.replace(task, rllib_config=edit)


def _is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) >= 2


def _images(space: spaces.Space) -> bool:
    return any(map(_is_image, space.spaces.values())) if isinstance(space, spaces.Dict) else _is_image(space)


STEPS: dict[str, Callable[[Ascent], Task]] = {
    "toy": Ascent.toy,
    "all-legal": Ascent.all_legal,
    "masked": Ascent.masked,
    "dictionary": Ascent.dictionary,
    "images": Ascent.images,
    "module": Ascent.module,
    "connectors": Ascent.connectors,
    "alone": Ascent.alone,
    "one-action-agent": Ascent.one_action,
    "whole": Ascent.whole,
    "settings": Ascent.whole,
}
# Settings are compared by value, and every step has them: they are what the last step is for.
OF_SETTINGS = dict.fromkeys(("PAR010", "PAR011", "PAR012"), "hyperparameters are judged at the last step")


def take(ref: TaskRef, step: Step) -> Reached:
    """One step, in a worker process."""
    begin = time.perf_counter()
    if step.probe is not None:
        return _probe(dissected(ref), step)
    try:
        task = STEPS[step.key](_ascent(ref))
    except NotApplicable as reason:
        return Reached(step, None, reason=str(reason))
    if step.key != "settings":
        task = dataclasses.replace(task, declared=OF_SETTINGS | task.declared)
    return Reached(step, climb_task(lambda: task), seconds=time.perf_counter() - begin)


@functools.cache
def _ascent(ref: TaskRef) -> Ascent:
    return Ascent(dissected(ref))


def _probe(port: Dissected, step: Step) -> Reached:
    """The probe with the port's classes and connectors; its own hyperparameters, which are made for its size.

    Connectors are written for the port's observations: where training raises with them, it is done without.
    """
    from parity import probes
    from parity.probes.ask import failures
    from parity.probes.transplant import with_port

    begin = time.perf_counter()
    assert step.probe is not None
    probe = probes.get(step.probe)
    parts = port.anatomy.parts
    classes = [part.key for part in parts if part.kind == "class" or part.group == REST]
    found: list[Any] = []
    for keys in ([*classes, *(part.key for part in parts if part.kind == "connector")], classes):
        found = failures(probe, "rllib", with_port(probe, _configured(port, frozenset(keys))))
        if not any(failure.claim == "it trains" for failure in found):
            break
    told = tuple(f"{f.claim}: {f.found}" + (f" ({f.cause})" if f.cause else "") for f in found)
    return Reached(step, None, failures=told, seconds=time.perf_counter() - begin)


def _configured(port: Dissected, keys: frozenset[str]) -> Task:
    def edit(config: Any) -> Any:
        port.set_fields(keys, config)
        return config

    return dataclasses.replace(
        port.task,
        learning_agent=port.port.learning_agent,
        network=port.network,
        rllib_config=edit if keys else None,
        rllib_module=None,
        other_modules={},
    )
