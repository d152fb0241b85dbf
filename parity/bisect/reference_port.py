"""What the reference port has in place of the user's parts: an environment with the same agents, their modules, a network."""

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

from parity.errors import in_short
from parity.frameworks.network import NetworkFactory, network_input
from parity.frameworks.randomness import seeded
from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
from parity.frameworks.rllib.module import FlatNetwork
from parity.frameworks.sb3 import build_model, vec_env
from parity.task import Task
from parity.task.masks import MASK_KEY, MaskedEnv, n_logits

# Observation and action space of each agent.
Agents = dict[str, tuple[gymnasium.Space, gymnasium.Space]]


class SingleAgentAmongOthers(SingleAgentAsMultiAgent):
    """The task's environment for the learning agent; every other agent of the port acts at the same time, to no effect.

    The other agents see observations drawn from their own spaces, in which their masks allow everything, and are paid
    nothing. So they cannot influence the learning agent, and the port's modules, mapping and ``policies_to_train`` find the
    agents that they name.
    """

    def __init__(self, env: MaskedEnv, agent: str, agents: Agents) -> None:
        super().__init__(env, agent)
        self._others = {other: copy.deepcopy(both) for other, both in agents.items() if other != agent}
        # Connectors and batches go by the port's order.
        self.possible_agents = list(agents)
        self.agents = list(agents)
        for other, (observation_space, action_space) in self._others.items():
            self.observation_spaces[other] = observation_space  # type: ignore[assignment]
            self.action_spaces[other] = action_space

    def _observation(self, observation: Any) -> dict[str, Any]:
        shown = super()._observation(observation)
        return {agent: shown[agent] if agent in shown else self._random_observation(agent) for agent in self.agents}

    def _random_observation(self, agent: str) -> Any:
        observation = self._others[agent][0].sample()
        if isinstance(observation, dict) and MASK_KEY in observation:
            observation[MASK_KEY] = np.ones_like(observation[MASK_KEY])
        return observation

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        if seed is not None:
            for i, (space, _) in enumerate(self._others.values()):
                space.seed(seed + i)
        return super().reset(seed=seed, options=options)

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        shown, rewards, *ends = super().step(action_dict)
        return shown, rewards | dict.fromkeys(self._others, 0.0), *ends


class UnmaskedFlatModule(TorchRLModule, ValueFunctionAPI):
    """The module of another agent that has no mask: `FlatNetwork`, every action allowed."""

    def setup(self) -> None:
        self.network = FlatNetwork(self.observation_space, self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self._logits_and_values(batch)[0]}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self._logits_and_values(batch)[1]

    def _logits_and_values(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(network_input(batch[Columns.OBS], self.observation_space))


def has_mask(space: gymnasium.Space) -> bool:
    return isinstance(space, spaces.Dict) and MASK_KEY in space.spaces


def why_not_replaceable(observation_space: gymnasium.Space, action_space: gymnasium.Space) -> str | None:
    """Why the reference port has no module for an agent with these spaces; None where it has one."""
    try:
        n_logits(action_space)
        spaces.flatdim(observation_space)
    except Exception as error:
        return in_short(error)
    return None


def sb3_network(task: Task) -> NetworkFactory:
    """``(observation_space, action_space) -> Module`` that computes what the policy of ``task.sb3_model`` computes."""

    def build(observation_space: spaces.Space, action_space: spaces.Space) -> torch.nn.Module:
        # Its weights follow from the seed that the caller has set, as those of every other network.
        seed = int(torch.initial_seed() % 2**31)
        with seeded(seed):
            env = vec_env(task, task.ppo.n_envs)
            try:
                return _SB3PolicyNetwork(build_model(task, env, seed, "cpu").policy)
            finally:
                env.close()

    build.__name__ = getattr(task.sb3_model, "__name__", "sb3_model")
    return build


class _SB3PolicyNetwork(torch.nn.Module):
    """Logits ``[B, n_logits]``, unmasked, and values ``[B]`` of a MaskablePPO policy; its parameters under its own names."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        for name, child in policy.named_children():
            self.add_module(name, child)
        self._policy = (policy,)

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        policy = self._policy[0]
        features = policy.extract_features(obs)
        if policy.share_features_extractor:
            latent_pi, latent_vf = policy.mlp_extractor(features)
        else:
            latent_pi = policy.mlp_extractor.forward_actor(features[0])
            latent_vf = policy.mlp_extractor.forward_critic(features[1])
        return policy.action_net(latent_pi), policy.value_net(latent_vf).squeeze(-1)
