"""What an environment gave and received, written down beside RLlib's own bookkeeping."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np
import tree
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.frameworks.rllib.env import shown_mask


@dataclasses.dataclass
class Move:
    """One decision of one agent, as the environment saw it.

    Attributes:
        env, episode, agent, step: sub-environment, number of its episode, agent, number of the agent's decision in it.
        observation: a copy of what the environment showed the agent before the decision.
        mask: bool ``[n_logits]``, the mask in it; None where it has none that can be read.
        action: what reached ``env.step``.
        reward: the sum of rewards until the agent's next decision or the end.
        terminated, truncated: whether the episode ended for the agent before its next decision, and how.
        after: a copy of the agent's next observation; None if the recording ends first.
    """

    env: int
    episode: int
    agent: Any
    step: int
    observation: Any
    mask: np.ndarray | None
    action: Any
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    after: Any = None


class Recording:
    """All moves of several environments; wraps ``reset`` and ``step`` on the instances, which stay what they are."""

    def __init__(self, envs: list[MultiAgentEnv]) -> None:
        self.moves: dict[tuple[int, int, Any], list[Move]] = {}  # (env, episode, agent) -> in time order
        self.seeds: list[list[int | None]] = [[] for _ in envs]  # per env, per episode: what reset() was given
        self.starts: list[list[str]] = [[] for _ in envs]  # per env, per episode: a hash of what reset() returned
        self.shared_arrays: set[str] = set()  # agents whose successive observations share memory
        for index, env in enumerate(envs):
            self._attach(index, env)

    def _attach(self, index: int, env: MultiAgentEnv) -> None:
        reset, step = env.reset, env.step
        shown: dict[Any, Any] = {}
        latest: dict[Any, Move] = {}
        given: dict[Any, Any] = {}

        def show(observations: dict[Any, Any]) -> None:
            for agent, observation in observations.items():
                if agent in given and shares_memory(given[agent], observation):
                    self.shared_arrays.add(str(agent))
                given[agent] = observation
                shown[agent] = copy.deepcopy(observation)
                if agent in latest:
                    latest[agent].after = shown[agent]

        @functools.wraps(reset)
        def recorded_reset(*args: Any, **kwargs: Any) -> Any:
            observations, infos = reset(*args, **kwargs)
            shown.clear()
            latest.clear()
            given.clear()
            show(observations)
            self.seeds[index].append(kwargs.get("seed"))
            self.starts[index].append(_hash(observations))
            return observations, infos

        @functools.wraps(step)
        def recorded_step(action_dict: dict[Any, Any]) -> Any:
            episode = len(self.seeds[index]) - 1
            for agent, action in action_dict.items():
                observation = shown.pop(agent, None)
                moves = self.moves.setdefault((index, episode, agent), [])
                mask = shown_mask(observation, env.get_action_space(agent))
                move = Move(index, episode, agent, len(moves), observation, mask, copy.deepcopy(action))
                moves.append(move)
                latest[agent] = move
            result = step(action_dict)
            observations, rewards, terminateds, truncateds, _ = result
            # An agent that has left the episode has its end behind it.
            for agent in [agent for agent, move in latest.items() if move.terminated or move.truncated]:
                del latest[agent]
            for agent, reward in rewards.items():
                if agent in latest:
                    latest[agent].reward += float(reward)
            for agent, move in latest.items():
                terminated = bool(terminateds.get("__all__", False) or terminateds.get(agent, False))
                truncated = bool(truncateds.get("__all__", False) or truncateds.get(agent, False))
                move.terminated |= terminated
                move.truncated |= truncated and not terminated
            show(observations)
            return result

        env.reset, env.step = recorded_reset, recorded_step  # type: ignore[method-assign]


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
