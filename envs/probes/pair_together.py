"""The multi-agent form of a pair, for RLlib."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from parity_envs.probes.env import one_hot
from parity_envs.probes.pair import LEARNER, PARTNER, PairEnv
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

# Sampling then takes another action once in e^50 times.
CERTAIN = 50.0


class PairTogether(MultiAgentEnv):
    """Both agents of a ``PairEnv`` act; each sees ``{"observations": float32 [n], "action_mask": int8 [n_actions]}``.

    Ends are given for ``"__all__"`` only: RLlib stores a truncation of every agent by name as a termination
    (ray/rllib/env/multi_agent_episode.py:408-416, seen in 2.60.0).
    """

    def __init__(self, env: PairEnv) -> None:
        super().__init__()
        self.env = env
        self.possible_agents = [LEARNER, PARTNER]
        self.agents = list(self.possible_agents)
        self.observation_spaces = {
            LEARNER: _space(env.n_seen, env.n_actions),
            PARTNER: _space(env.n_partner_seen, env.n_partner_actions),
        }
        self.action_spaces = {
            LEARNER: spaces.Discrete(env.n_actions),
            PARTNER: spaces.Discrete(env.n_partner_actions),
        }

    def observed(self) -> dict[str, Any]:
        """What each agent sees now."""
        env = self.env
        return {
            LEARNER: _observation(env.seen, env.n_seen, env.mask),
            PARTNER: _observation(env.partner_seen, env.n_partner_seen, env.partner_mask),
        }

    def paid(self, reward: float, partner_reward: float) -> dict[str, float]:
        """What each agent gets."""
        return {LEARNER: reward, PARTNER: partner_reward}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.env.reset(seed=seed, options=options)
        return self.observed(), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        reward, partner_reward, terminated, truncated = self.env.act_together(
            int(action_dict[LEARNER]), int(action_dict[PARTNER])
        )
        return (
            self.observed(),
            self.paid(reward, partner_reward),
            {"__all__": terminated},
            {"__all__": truncated},
            {},
        )


def _observation(seen: int, n_seen: int, mask: np.ndarray) -> dict[str, np.ndarray]:
    return {"observations": one_hot(seen, n_seen), "action_mask": mask.astype(np.int8)}


def _space(n_seen: int, n_actions: int) -> spaces.Dict:
    return spaces.Dict(
        {
            "observations": spaces.Box(0.0, 1.0, (n_seen,), np.float32),
            "action_mask": spaces.Box(0, 1, (n_actions,), np.int8),
        }
    )


class PlaysWhatItSees(TorchRLModule, ValueFunctionAPI):
    """A fixed partner: the action is the observation's number. A table, as RLlib gives an optimiser to every module."""

    def setup(self) -> None:
        assert isinstance(self.action_space, spaces.Discrete)
        self.table = nn.Parameter(CERTAIN * torch.eye(int(self.action_space.n)))
        self.value = nn.Parameter(torch.zeros(1))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: batch[Columns.OBS]["observations"] @ self.table}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """Values float32 ``[B]``."""
        return self.value.expand(len(batch[Columns.OBS]["observations"]))
