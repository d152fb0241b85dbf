"""The port: one network, the two ways in which it is trained, and the task that compares them.

Read env.py first. To make this yours, replace CoinsEnv and CoinsNetwork, adapt the names of the observation's entries, and
bring your hyperparameters; what the comments say of masks, values and ends holds for every port.
"""

from typing import Any

import numpy as np
import torch
from env import CoinsEnv, mean_return
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import PPOParams, Task

AGENT = "payer"
MASK = "action_mask"


class CoinsNetwork(nn.Module):
    """Actor and critic of both frameworks: logits ``[B, n_actions]``, unmasked, and values ``[B]``.

    Scaling, one-hot and the like belong here: whatever a framework did before the network would be done by one only.
    """

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.n_amounts = int(observation_space["left"].n)
        # As Stable-Baselines3 initialises: small logits, so that the first policy is nearly uniform over legal actions.
        self.trunk = nn.Sequential(linear(self.n_amounts, 64, gain=2**0.5), nn.Tanh())
        self.logits = linear(64, int(action_space.n), gain=0.01)
        self.value = linear(64, 1, gain=1.0)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(nn.functional.one_hot(obs["left"].long(), self.n_amounts).float())
        return self.logits(features), self.value(features).squeeze(-1)


def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class CoinsMultiAgentEnv(MultiAgentEnv):
    """``CoinsEnv`` as RLlib sees it. A second agent gets its entry in each of these dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.env = CoinsEnv()
        # Spaces by agent, and all agents that there can ever be: without them RLlib samples nothing.
        self.possible_agents = self.agents = [AGENT]
        mask = spaces.Box(0, 1, (int(self.env.action_space.n),), np.int8)
        self.observation_spaces = {AGENT: spaces.Dict({**self.env.observation_space.spaces, MASK: mask})}
        self.action_spaces = {AGENT: self.env.action_space}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        obs, info = self.env.reset(seed=seed, options=options)
        return {AGENT: self._with_mask(obs)}, {AGENT: info}

    def step(self, action_dict: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        obs, reward, terminated, truncated, info = self.env.step(action_dict[AGENT])
        return (
            # An agent that acted gets an observation and a reward, in its last step too.
            {AGENT: self._with_mask(obs)},
            {AGENT: reward},
            # Under "__all__" alone: RLlib stores a truncation of every agent by name as a termination.
            {"__all__": terminated},
            {"__all__": truncated},
            {AGENT: info},
        )

    def _with_mask(self, obs: dict[str, Any]) -> dict[str, Any]:
        # RLlib has no place for masks: they travel in the observation, and are stored and replayed with it.
        return {**obs, MASK: self.env.action_masks().astype(np.int8)}


class MaskedModule(TorchRLModule, ValueFunctionAPI):
    """The network, masked wherever RLlib asks for it.

    ``ValueFunctionAPI`` has to be among the bases. Without it RLlib computes no advantages, whatever methods there are.
    """

    def setup(self) -> None:
        seen = {name: space for name, space in self.observation_space.spaces.items() if name != MASK}
        self.network = CoinsNetwork(spaces.Dict(seen), self.action_space)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """For sampling and for inference."""
        return {Columns.ACTION_DIST_INPUTS: self._masked_logits_and_values(batch)[0]}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The same mask again: log-probs of training must be those of sampling, or PPO's ratio is wrong."""
        logits, values = self._masked_logits_and_values(batch)
        # PPO's loss gives the embeddings back to compute_values: the values travel there, and one pass does both.
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: values}

    def compute_values(self, batch: dict[str, Any], embeddings: torch.Tensor | None = None) -> torch.Tensor:
        """Values ``[B]``, with their gradient; ``embeddings`` is what ``_forward_train`` returned for this batch."""
        return self._masked_logits_and_values(batch)[1] if embeddings is None else embeddings

    def _masked_logits_and_values(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        obs = batch[Columns.OBS]
        # Not popped from the observation, which RLlib uses again; the network takes the entries that it knows.
        logits, values = self.network(obs)
        # A finite number: minus infinity makes NaN of an entropy.
        return torch.where(obs[MASK] > 0, logits, -1e8), values


task = Task(
    id="coins",
    env=CoinsEnv,
    network=CoinsNetwork,
    # What you train with under MaskablePPO, by its names; `parity translate` shows what RLlib makes of such arguments.
    ppo=PPOParams(n_envs=8, n_steps=64, batch_size=128, n_epochs=4, learning_rate=3e-3),
    steps=8_192,
    eval_every=1_024,
    eval_episodes=100,
    # The score's 0 and 1. Leave it out where you cannot compute it: uniform legal play is then measured.
    reference={"uniform_legal": mean_return(np.mean), "best": mean_return(min), "source": "exact: env.py, mean_return"},
    # The port under test. Each may be left out: parity's own takes its place, which tells you which of yours differs.
    multi_agent_env=CoinsMultiAgentEnv,
    learning_agent=AGENT,
    rllib_module=MaskedModule,
    # other_modules={"second_agent": ItsModule},
    # rllib_config=lambda config: config.training(...),  # the last word on the PPOConfig
)
