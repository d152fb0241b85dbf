"""Records what an environment received and returned, independently of RLlib's episodes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tree
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.capture.moves import Move
from parity.frameworks.rllib.env import shown_mask
from parity.frameworks.rllib.env_tap import Call, EnvReader
from parity.task.masks import MASK_KEY


class Recording(EnvReader):
    """All moves of one environment.

    Attributes:
        moves: (number of the episode, agent) -> its moves in time order.
        seeds: per episode, what ``reset`` was given.
        starts: per episode, a hash of the observations that it began with.
        shared_arrays: agents whose successive observations share memory.
    """

    def __init__(self, index: int, env: MultiAgentEnv, mask_key: str = MASK_KEY) -> None:
        self.moves: dict[tuple[int, Any], list[Move]] = {}
        self.seeds: list[int | None] = []
        self.starts: list[str] = []
        self.shared_arrays: set[str] = set()
        self._index, self._env, self._mask_key = index, env, mask_key
        self._shown: dict[Any, Any] = {}  # agent -> a copy of the observation that it has not acted on yet
        self._latest: dict[Any, Move] = {}  # agent -> its last move, while the episode goes on for it
        self._given: dict[Any, Any] = {}  # agent -> its last observation itself

    def shown(self) -> Iterator[tuple[Any, Any]]:
        """Agents and what they observed, acted on or not."""
        for (_, agent), moves in self.moves.items():
            yield from ((agent, move.observation) for move in moves if move.observation is not None)
        yield from self._shown.items()

    def before(self, call: Call) -> None:
        if call.method == "reset":
            return
        episode = len(self.seeds) - 1
        for agent, action in call.actions.items():
            observation = self._shown.pop(agent, None)
            moves = self.moves.setdefault((episode, agent), [])
            mask = shown_mask(observation, self._env.get_action_space(agent), self._mask_key)
            move = Move(self._index, episode, agent, len(moves), observation, mask, copy.deepcopy(action))
            moves.append(move)
            self._latest[agent] = move

    def after(self, call: Call) -> None:
        if call.method == "reset":
            observations, _ = call.result
            self._shown, self._latest, self._given = {}, {}, {}
            self.seeds.append(call.seed)
            self.starts.append(_hash(observations))
        else:
            observations, rewards, terminateds, truncateds, _ = call.result
            self._note_outcome(rewards, terminateds, truncateds)
        self._show(observations)

    def _note_outcome(self, rewards: dict[Any, Any], terminateds: dict[Any, bool], truncateds: dict[Any, bool]) -> None:
        # An agent that has left the episode has its end behind it.
        self._latest = {a: move for a, move in self._latest.items() if not (move.terminated or move.truncated)}
        for agent, move in self._latest.items():
            terminated = bool(terminateds.get("__all__", False) or terminateds.get(agent, False))
            truncated = bool(truncateds.get("__all__", False) or truncateds.get(agent, False))
            move.reward += float(rewards.get(agent, 0.0))
            move.terminated |= terminated
            move.truncated |= truncated and not terminated

    def _show(self, observations: dict[Any, Any]) -> None:
        for agent, observation in observations.items():
            if agent in self._given and shares_memory(self._given[agent], observation):
                self.shared_arrays.add(str(agent))
            self._given[agent] = observation
            self._shown[agent] = copy.deepcopy(observation)
            if agent in self._latest:
                self._latest[agent].after = self._shown[agent]


def _hash(observations: Any) -> str:
    digest = hashlib.sha256()
    for leaf in tree.flatten(observations):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def shares_memory(before: Any, after: Any) -> bool:
    """Whether two observations, nested or not, share an array."""
    if isinstance(before, dict) and isinstance(after, dict):
        return any(shares_memory(before[key], after[key]) for key in before if key in after)
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return before.size > 0 and np.shares_memory(before, after)
    return False
