"""PettingZoo's AEC and parallel environments as RLlib's ``MultiAgentEnv``, masks in ``obs["action_mask"]``.

RLlib 2.60 has wrappers of its own (``rllib/env/wrappers/pettingzoo_env.py``), which a port may bring as well. They leave masks
in info, and report a truncation by the agents' names, which RLlib's episodes store as a termination once no agent is left
(``rllib/env/multi_agent_episode.py:408``).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
from gymnasium import spaces
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.errors import CannotStart
from parity.task.masks import MASK_KEY, as_mask, n_logits
from parity.task.pettingzoo import Ending, Game, Turn, form, shown_mask

OBSERVATIONS_KEY = "observations"
Step = tuple[dict[Any, Any], dict[Any, float], dict[Any, bool], dict[Any, bool], dict[Any, Any]]


def wrap(env: Any, mask: str | None = None) -> MultiAgentEnv:
    """A PettingZoo environment as RLlib takes it. ``mask``: ``Task.mask``.

    Raises:
        CannotStart: ``mask`` names a method, which gives no mask of each agent.
    """
    kind, _, key = (mask or f"obs:{MASK_KEY}").partition(":")
    if kind == "method":
        raise CannotStart(
            f'Task(mask="{mask}"): a PettingZoo environment shows each agent\'s mask in its observation or info: write '
            '"obs:KEY" or "info:KEY".'
        )
    return AECAsMultiAgent(env, key) if form(env) == "aec" else ParallelAsMultiAgent(env, key)


class MaskedMultiAgentEnv(MultiAgentEnv):
    """Puts every agent's mask into its space and its observations.

    A ``Dict`` observation keeps its mask (named ``action_mask``) or gains it from info; any other becomes
    ``{"observations": obs, "action_mask": mask}``. An agent that never shows a mask may do everything.

    Attributes:
        env: the environment that is played.
    """

    def __init__(
        self, env: Any, observation_spaces: dict[Any, Any], action_spaces: dict[Any, Any], key: str = MASK_KEY
    ) -> None:
        super().__init__()
        self.env, self._key = env, key
        self.possible_agents = list(observation_spaces)
        self.agents = list(self.possible_agents)
        self._inner = observation_spaces
        self.action_spaces = action_spaces
        self.observation_spaces = {agent: self._space(agent) for agent in self.possible_agents}
        self._masked: set[Any] = set()  # agents that have shown a mask

    def _space(self, agent: Any) -> spaces.Space:
        space = self._inner[agent]
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {OBSERVATIONS_KEY: space}
        size = self._size(agent)
        if size is None:
            return space
        given = parts.pop(self._key, None)
        mask = spaces.Box(0, 1, (size,), np.int8)
        return spaces.Dict(parts | {MASK_KEY: mask if given is None or self._key != MASK_KEY else given})

    def _size(self, agent: Any) -> int | None:
        """Entries of the agent's mask; None where its observation is left as it is."""
        return mask_size(self.action_spaces[agent])

    def _with_masks(
        self, observations: dict[Any, Any], infos: dict[Any, Any], deciding: Container[Any]
    ) -> dict[Any, Any]:
        """The observations with their masks in them; ``deciding``: the agents that act on them."""
        return {
            agent: self._with_mask(agent, observation, infos.get(agent) or {}, agent in deciding)
            for agent, observation in observations.items()
        }

    def _with_mask(self, agent: Any, observation: Any, info: dict[str, Any], decides: bool) -> Any:
        size = self._size(agent)
        if size is None:
            return observation
        raw = shown_mask(observation, info, self._key)
        if raw is None:
            if decides and agent in self._masked:
                raise CannotStart(
                    f'{type(self.env).__name__}: agent {agent} shows no "{self._key}" at this decision and did before: show '
                    "it at every one."
                )
            mask = np.ones(size, dtype=bool)
        else:
            self._masked.add(agent)
            mask = as_mask(raw, self.action_spaces[agent], f"{type(self.env).__name__}, agent {agent}")
        is_dict = isinstance(self._inner[agent], spaces.Dict)
        rest = {k: v for k, v in observation.items() if k != self._key} if is_dict else {OBSERVATIONS_KEY: observation}
        dtype = self.observation_spaces[agent][MASK_KEY].dtype  # type: ignore[index]
        return rest | {MASK_KEY: mask.astype(dtype)}

    def render(self) -> Any:
        return self.env.render()

    def close(self) -> None:
        self.env.close()


def inner(env: Any) -> Any:
    """The environment inside a wrapper of this file; any other environment itself."""
    return env.env if isinstance(env, MaskedMultiAgentEnv) else env


def mask_size(action_space: spaces.Space) -> int | None:
    """Entries of a mask for these actions; None where they cannot be masked."""
    try:
        return n_logits(action_space)
    except CannotStart:
        return None


class _PettingZoo(MaskedMultiAgentEnv):
    def __init__(self, env: Any, key: str = MASK_KEY) -> None:
        agents = list(getattr(env, "possible_agents", None) or [])
        observation_spaces = {agent: env.observation_space(agent) for agent in agents}
        super().__init__(env, observation_spaces, {agent: env.action_space(agent) for agent in agents}, key)


class MasksAsActionMask(MaskedMultiAgentEnv):
    """Moves the masks of a ``MultiAgentEnv``, shown under another name or in info, to ``obs["action_mask"]``.

    Args:
        env: the user's.
        mask: ``Task.mask``, ``"obs:KEY"`` or ``"info:KEY"``.
        as_they_are: agents with modules of the user's own, whose observations stay as they are.
    """

    def __init__(self, env: MultiAgentEnv, mask: str, as_they_are: set[Any]) -> None:
        kind, _, key = mask.partition(":")
        observation_spaces = {agent: env.get_observation_space(agent) for agent in env.possible_agents}
        without = {
            a for a, space in observation_spaces.items() if kind == "obs" and key not in getattr(space, "spaces", {})
        }
        self._as_they_are = as_they_are | without
        super().__init__(
            env, observation_spaces, {agent: env.get_action_space(agent) for agent in env.possible_agents}, key
        )

    def _size(self, agent: Any) -> int | None:
        return None if agent in self._as_they_are else super()._size(agent)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._with_masks(observations, infos, observations), infos

    def step(self, action_dict: dict[Any, Any]) -> Step:
        observations, rewards, terminateds, truncateds, infos = self.env.step(action_dict)
        over = {a for part in (terminateds, truncateds) for a, ended in part.items() if ended}
        deciding = () if "__all__" in over else observations.keys() - over
        return self._with_masks(observations, infos, deciding), rewards, terminateds, truncateds, infos


class AECAsMultiAgent(_PettingZoo):
    """An AEC environment: one agent observes and acts at a time.

    Every agent's reward is reported at every step; RLlib sums it up until the agent's next observation. Agents that leave
    get their last observation and reward in the step in which they leave.
    """

    def __init__(self, env: Any, key: str = MASK_KEY) -> None:
        super().__init__(env, key)
        self._game = Game(env)
        self._turn: Turn | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        observations, _, _, _, infos = self._result(self._game.reset(seed, options))
        return observations, infos

    def step(self, action_dict: dict[Any, Any]) -> Step:
        assert self._turn is not None, "step() before reset()"
        return self._result(self._game.step(action_dict[self._turn.agent]))

    def _result(self, turn: Turn) -> Step:
        self._turn = turn
        observed = dict(turn.last)  # agent -> (observation, info)
        if turn.agent is not None:
            observed[turn.agent] = self._game.observe(turn.agent)
        self.agents = list(self.env.agents)
        infos = {agent: info for agent, (_, info) in observed.items()}
        observations = {agent: observation for agent, (observation, _) in observed.items()}
        masked = self._with_masks(observations, infos, (turn.agent,))
        return masked, turn.rewards, *ends(turn.left, over=turn.agent is None), infos


class ParallelAsMultiAgent(_PettingZoo):
    """A parallel environment: every agent in the game observes and acts at every step."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        observations, infos = self.env.reset(seed=seed, options=options)
        self.agents = list(self.env.agents)
        observations = {agent: observations[agent] for agent in observations if agent in self.agents}
        return self._with_masks(observations, infos, self.agents), dict(infos)

    def step(self, action_dict: dict[Any, Any]) -> Step:
        before = set(self.agents)
        observations, rewards, terminations, truncations, infos = self.env.step(dict(action_dict))
        left: dict[Any, Ending] = {
            agent: "terminated" if terminations.get(agent) else "truncated"
            for agent in self.agents
            if terminations.get(agent) or truncations.get(agent)
        }
        self.agents = [agent for agent in self.env.agents if agent not in left]
        # Some environments go on showing agents that have left.
        present = before | set(self.agents)
        observations = {agent: observations[agent] for agent in observations if agent in present}
        return (
            self._with_masks(observations, infos, deciding=present - set(left)),
            {agent: float(reward) for agent, reward in rewards.items() if agent in present},
            *ends(left, over=not self.agents),
            {agent: info for agent, info in infos.items() if agent in present},
        )


def ends(left: dict[Any, Ending], over: bool) -> tuple[dict[Any, bool], dict[Any, bool]]:
    """``terminateds`` and ``truncateds`` as RLlib's episodes need them.

    A truncation is reported by the agent's name only while others play on: where every agent has an end of its own, RLlib
    stores the episode as terminated, and it gets no bootstrap value.

    Args:
        left: agents that have left in this step.
        over: whether no agent is left.
    """
    truncated = [agent for agent, how in left.items() if how == "truncated"]
    terminateds = {agent: True for agent, how in left.items() if how == "terminated"}
    truncateds = {} if over else dict.fromkeys(truncated, True)
    return (
        terminateds | {"__all__": over and not truncated},
        truncateds | {"__all__": over and bool(truncated)},
    )
