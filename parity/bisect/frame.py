"""The reference port's environment with the user's agents in it, so that every other part of a port fits into it."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from parity.frameworks.network import network_input
from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
from parity.frameworks.rllib.module import FlatNetwork
from parity.task.masks import MASK_KEY, MaskedEnv, n_logits

Agents = dict[str, tuple[gymnasium.Space, gymnasium.Space]]


class BesideOthers(SingleAgentAsMultiAgent):
    """The task's environment for the learning agent; every other agent of the port acts at the same time, to no effect.

    The others see observations drawn from their own spaces, with everything allowed by their masks, and are paid nothing:
    what they do cannot reach the learning agent, and their modules, the mapping and ``policies_to_train`` of the port find
    the agents that they name.

    Args:
        env: the single-agent environment.
        agent: the learning agent.
        agents: all agents of the port, with their spaces.
    """

    def __init__(self, env: MaskedEnv, agent: str, agents: Agents) -> None:
        super().__init__(env, agent)
        self._others = {other: copy.deepcopy(found) for other, found in agents.items() if other != agent}
        # In the port's order: connectors and batches go by it.
        self.possible_agents = list(agents)
        self.agents = list(agents)
        for other, (observation_space, action_space) in self._others.items():
            self.observation_spaces[other] = observation_space  # type: ignore[assignment]
            self.action_spaces[other] = action_space

    def _observation(self, observation: Any) -> dict[str, Any]:
        shown = super()._observation(observation)
        return {agent: shown[agent] if agent in shown else self._drawn(agent) for agent in self.agents}

    def _drawn(self, agent: str) -> Any:
        drawn = self._others[agent][0].sample()
        if isinstance(drawn, dict) and MASK_KEY in drawn:
            drawn[MASK_KEY] = np.ones_like(drawn[MASK_KEY])
        return drawn

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        if seed is not None:
            for i, (space, _) in enumerate(self._others.values()):
                space.seed(seed + i)
        return super().reset(seed=seed, options=options)

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        shown, rewards, *ends = super().step(action_dict)
        return shown, rewards | dict.fromkeys(self._others, 0.0), *ends


class UnmaskedModule(TorchRLModule, ValueFunctionAPI):
    """The reference port's module of another agent that has no mask: `FlatNetwork`, every action allowed."""

    def setup(self) -> None:
        self.network = FlatNetwork(self.observation_space, self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self._both(batch)[0]}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self._both(batch)[1]

    def _both(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(network_input(batch[Columns.OBS], self.observation_space))


def has_mask(space: gymnasium.Space) -> bool:
    return isinstance(space, spaces.Dict) and MASK_KEY in space.spaces


def can_be_replaced(found: tuple[gymnasium.Space, gymnasium.Space]) -> str | None:
    """None, or why the reference port has no module for an agent with these spaces."""
    observation_space, action_space = found
    try:
        n_logits(action_space)
        spaces.flatdim(observation_space)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
