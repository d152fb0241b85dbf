"""A task's environment for RLlib: the user's ``MultiAgentEnv``, or a PettingZoo or single-agent environment made into one."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.errors import CannotStart
from parity.frameworks.rllib.pettingzoo import OBSERVATIONS_KEY, MaskedMultiAgentEnv, MasksAsActionMask, mask_size, wrap
from parity.frameworks.rllib.pettingzoo import inner as played_inside
from parity.task import Task
from parity.task.masks import MASK_KEY, MaskedEnv, as_mask
from parity.task.pettingzoo import form

DEFAULT_AGENT = "agent"


class SingleAgentAsMultiAgent(MaskedMultiAgentEnv):
    """A task's single-agent environment as the only agent of a ``MultiAgentEnv``, its mask in ``obs["action_mask"]``.

    A ``Dict`` observation keeps its mask entry (under that name) or gains it; any other becomes
    ``{"observations": obs, "action_mask": mask}``. The mask is int8 ``[n_logits]``.
    """

    def __init__(self, env: Any, agent: str = DEFAULT_AGENT) -> None:
        super().__init__(env, {agent: env.observation_space}, {agent: env.action_space})
        self._agent = agent

    def _observation(self, observation: Any) -> dict[str, Any]:
        return {self._agent: masked_observation(observation, self.env.action_masks())}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observation(observation), {self._agent: info}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        observation, reward, terminated, truncated, info = self.env.step(action_dict[self._agent])
        # A per-agent truncation of every agent would be stored as a termination (multi_agent_episode.py:408, ray 2.60.0).
        return (
            self._observation(observation),
            {self._agent: float(reward)},
            {"__all__": terminated},
            {"__all__": truncated and not terminated},
            {self._agent: info},
        )


class OnlyAgent(SingleAgentAsMultiAgent):
    """A single-agent environment that a user's configuration trains: its observations are left as they are."""

    def _size(self, agent: Any) -> None:
        return None

    def _observation(self, observation: Any) -> dict[str, Any]:
        return {self._agent: observation}


def masked_observation(observation: Any, mask: np.ndarray) -> dict[str, Any]:
    """A single-agent observation and its mask, as the contract gives them to an RLlib module."""
    inner = dict(observation) if isinstance(observation, dict) else {OBSERVATIONS_KEY: observation}
    return inner | {MASK_KEY: mask.astype(np.int8)}


def make_multi_agent_env(task: Task) -> MultiAgentEnv:
    """One environment of the RLlib side.

    Raises:
        CannotStart: ``multi_agent_env`` makes neither a ``MultiAgentEnv`` nor a PettingZoo environment.
    """
    if task.multi_agent_env is None:
        return SingleAgentAsMultiAgent(MaskedEnv(task.env(), task.mask), task.learning_agent or DEFAULT_AGENT)
    env = task.multi_agent_env()
    if form(env) is not None:
        return wrap(env, task.mask)
    if not isinstance(env, MultiAgentEnv):
        raise CannotStart(
            f"Task {task.id}: multi_agent_env made a {type(env).__name__}; return a ray.rllib.env.MultiAgentEnv or a "
            "PettingZoo environment."
        )
    return _with_masks(env, task)


def _with_masks(env: MultiAgentEnv, task: Task) -> MultiAgentEnv:
    """Moves masks to where parity's own module reads them; an environment is left as it is where the module is brought."""
    kind, _, key = (task.mask or "method:-").partition(":")
    agents = list(getattr(env, "possible_agents", None) or [])
    is_brought = task.rllib_module is not None or not (task.rllib_config is None or callable(task.rllib_config))
    if kind == "method" or key == MASK_KEY or is_brought or not agents:
        return env
    if any(MASK_KEY in getattr(env.get_observation_space(agent), "spaces", {}) for agent in agents):
        return env  # Task.mask is about the single-agent environment alone
    assert task.mask is not None
    return MasksAsActionMask(env, task.mask, set(task.other_modules))


def agent_spaces(env: MultiAgentEnv, task_id: str) -> dict[str, tuple[spaces.Space, spaces.Space]]:
    """Agent id -> (observation space, action space).

    Raises:
        CannotStart: ``env`` has a single agent, ``possible_agents`` is missing, an agent has no space or a mask of the wrong
            length.
    """
    name = type(played_inside(env)).__name__
    if not isinstance(env, MultiAgentEnv):
        raise CannotStart(
            f"Task {task_id}: rllib_config trains the single-agent environment {name}; make it a MultiAgentEnv (for one "
            "agent, ray.rllib.env.multi_agent_env.make_multi_agent does)."
        )
    agents = list(getattr(env, "possible_agents", None) or [])
    if not agents:
        raise CannotStart(f"Task {task_id}: {name} has no possible_agents; set self.possible_agents in its __init__.")
    by_agent = {}
    for agent in agents:
        try:
            by_agent[agent] = (env.get_observation_space(agent), env.get_action_space(agent))
        except Exception:
            # RLlib's getters raise whatever the missing attribute happens to cause; the sentence below says what is wanted.
            by_agent[agent] = (None, None)
        if not all(isinstance(space, spaces.Space) for space in by_agent[agent]):
            raise CannotStart(
                f'Task {task_id}: {name} has no spaces for agent "{agent}"; set self.observation_spaces["{agent}"] and '
                f'self.action_spaces["{agent}"].'
            )
        _check_mask(task_id, name, agent, *by_agent[agent])
    return by_agent


def _check_mask(
    task_id: str, env: str, agent: Any, observation_space: spaces.Space, action_space: spaces.Space
) -> None:
    """Checks that an agent's mask has an entry for each of its actions."""
    mask = observation_space.spaces.get(MASK_KEY) if isinstance(observation_space, spaces.Dict) else None
    wanted = mask_size(action_space)
    if mask is None or wanted is None:
        return
    if mask.shape is None:
        raise CannotStart(
            f'Task {task_id}: {env} has a mask of agent "{agent}" in {mask}: make it one array of {wanted} entries, '
            f"Box(0, 1, ({wanted},), np.int8), the sub-actions' concatenated."
        )
    size = int(np.prod(mask.shape))
    if size != wanted:
        raise CannotStart(
            f'Task {task_id}: {env} has a mask of {size} entries for agent "{agent}", whose action space '
            f'{action_space} needs {wanted}: correct observation_spaces["{agent}"]["{MASK_KEY}"].'
        )


def learning_agent(task: Task, action_spaces: dict[str, spaces.Space]) -> str:
    """The agent that is compared with SB3.

    Raises:
        CannotStart: the task names none and several could be meant, or the one that it names does not exist.
    """
    agents = list(action_spaces)
    names = ", ".join(map(str, agents))
    if task.learning_agent is not None:
        # Agents may have numbers for names.
        named = [agent for agent in agents if str(agent) == task.learning_agent]
        if not named:
            raise CannotStart(
                f'Task {task.id}: learning_agent "{task.learning_agent}" is not among the agents {names}.'
            )
        return named[0]
    choosers = [agent for agent in agents if has_choice(action_spaces[agent])]
    for candidates in (agents, choosers):
        if len(candidates) == 1:
            return candidates[0]
    raise CannotStart(f"Task {task.id}: which agent is compared with SB3? Set learning_agent to one of {names}.")


def has_choice(action_space: spaces.Space) -> bool:
    """Whether an agent has more than one action; True where its actions cannot be masked."""
    size = mask_size(action_space)
    return size is None or size > 1


def may_be_mask(space: spaces.Space, size: int | None) -> bool:
    """Whether an entry of the observation holds ``size`` zeros and ones."""
    if size is None or space.shape is None or int(np.prod(space.shape)) != size:
        return False
    if isinstance(space, spaces.Box):
        return bool((space.low == 0).all() and (space.high == 1).all())
    return isinstance(space, spaces.MultiBinary)


def shown_mask(observation: Any, action_space: spaces.Space, key: str = MASK_KEY) -> np.ndarray | None:
    """The mask in an agent's observation: bool ``[n_logits]``; None where there is none or it cannot be read.

    ``key``: the entry that holds it; ``action_mask`` for agents that have none of that name.
    """
    if not isinstance(observation, dict):
        return None
    key = key if key in observation else MASK_KEY
    if key not in observation:
        return None
    try:  # at every step of training: `contextlib.suppress` costs three times as much
        return as_mask(observation[key], action_space, "")
    except CannotStart:
        return None
