"""What sub-environments and modules exchanged in one rollout, before it is made into episodes."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

AgentID = Any
Step = tuple[dict[Any, Any], dict[Any, Any], dict[Any, bool], dict[Any, bool], dict[Any, Any]]
"""Observations, rewards, terminateds, truncateds, infos."""


@dataclasses.dataclass(slots=True)
class Turn:
    """One step of an environment.

    Attributes:
        acted: agent -> number of the row of its module that it acted on.
        observed: agent -> number of the row that its next observation went to; of the final rows where ``is_final``.
        step: the dicts that the environment returned beside observations.
        is_final: whether the episode ended.
    """

    acted: dict[AgentID, int]
    observed: dict[AgentID, int]
    rewards: dict[AgentID, Any]
    terminateds: dict[AgentID, bool]
    truncateds: dict[AgentID, bool]
    infos: dict[AgentID, Any]
    is_final: bool


@dataclasses.dataclass(slots=True)
class Game:
    """The part of an episode that one sub-environment plays in one rollout.

    Attributes:
        index: the sub-environment's.
        episode: RLlib's; it holds what was before this rollout, and the reset where the episode began in an earlier one.
        modules: agent -> module, in the order in which agents first appeared.
        done: agents whose own episode has ended.
        acting: agent -> number of the row of its module that it acts on next.
        began: the rows of the reset's observations and its infos; None where the episode began in an earlier rollout.
        simultaneous: whether every agent has observed and acted at every step, and none ended before the others.
    """

    index: int
    episode: MultiAgentEpisode
    modules: dict[AgentID, str]
    done: set[AgentID]
    acting: dict[AgentID, int]
    began: tuple[dict[AgentID, int], dict[AgentID, Any]] | None = None
    turns: list[Turn] = dataclasses.field(default_factory=list)
    simultaneous: bool = True
    terminated: bool = False
    truncated: bool = False
    started_at: float = dataclasses.field(default_factory=time.perf_counter)
    stepped_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self.terminated or self.truncated

    def ends(self, terminateds: dict[Any, bool], truncateds: dict[Any, bool]) -> None:
        """Sees from a step's flags whether the episode has ended, by the rules of ``MultiAgentEpisode.add_env_step``."""
        self.terminated = bool(terminateds.get("__all__", False))
        self.truncated = bool(truncateds.get("__all__", False))
        alone = {agent for flags in (terminateds, truncateds) for agent, ended in flags.items() if ended}
        alone.discard("__all__")
        if alone:
            self.done |= alone & self.modules.keys()
            if self.done >= self.modules.keys():
                self.terminated = True
            elif not self.is_over:
                self.simultaneous = False
