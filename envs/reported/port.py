"""A reported RLlib port, written anew on the tiles problem: it samples legal actions, trains without error and never learns.

From a public forum thread (Ray 2.47.1): the single-agent form learns under Stable-Baselines3; then a second agent with a
single action was added as a sanity check, and the module below written. Everything here is meant to be as its author had
it, mistakes included; ``fixed.py`` has the one line that makes it learn.

Two things differ from the report, so that it runs anywhere: tensors go where the parameters are instead of to a hard-coded
CUDA device, and the single env runner is the local one.

Usage: parity run --task envs/reported/port.py
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from parity_envs.tiles.task import tiles
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn


class MaskedPPOModule(TorchRLModule):
    """Convolutions for the image, an MLP for the vector part, one linear head each for logits and value."""

    def setup(self) -> None:
        n_softmax = self.observation_space["softmax"].shape[0]
        self.cnn = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mlp = nn.Sequential(nn.Linear(n_softmax + 1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.pi = nn.Linear(32 * 4 * 4 + 64, self.action_space.n)
        self.vf = nn.Linear(32 * 4 * 4 + 64, 1)

    def _features(self, batch: dict[str, Any]) -> torch.Tensor:
        device = self.pi.weight.device
        obs = {key: torch.as_tensor(value).to(device) for key, value in batch[Columns.OBS].items()}
        prev_action = obs["prev_agent_action"].float().reshape(-1, 1)
        vector = torch.cat([obs["softmax"].float(), prev_action], dim=-1)
        return torch.cat([self.cnn(obs["image"].float() / 255.0), self.mlp(vector)], dim=-1)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        features = self._features(batch)
        logits = self.pi(features)
        mask = torch.as_tensor(batch[Columns.OBS]["action_mask"]).to(logits.device).float()
        inf_mask = torch.clamp(torch.log(mask), min=-1e10)
        zeros = torch.zeros(logits.shape[0], device=logits.device)
        return {
            Columns.ACTION_DIST_INPUTS: logits + inf_mask,
            Columns.VF_PREDS: self.vf(features).squeeze(-1),
            # Training stopped with KeyError: 'advantages' without these two.
            Columns.ADVANTAGES: zeros,
            Columns.VALUE_TARGETS: zeros,
        }

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return super()._forward_train(batch, **kwargs)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self._features(batch)).squeeze(-1)


class ResSelectorModule(TorchRLModule):
    """Plays the only action there is."""

    def setup(self) -> None:
        self.pi = nn.Linear(1, self.action_space.n)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        prev_action = torch.as_tensor(batch[Columns.OBS]["prev_agent_action"]).to(self.pi.weight.device)
        return {Columns.ACTION_DIST_INPUTS: self.pi(prev_action.float().reshape(-1, 1))}


class PassThroughConnector(ConnectorV2):
    """Leaves the batch as it is."""

    def __call__(self, *, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return batch


def make_connector(env: Any = None, spaces: Any = None, device: Any = None) -> PassThroughConnector:
    return PassThroughConnector()


def rllib_config(config: PPOConfig) -> PPOConfig:
    """The report's configuration: PPO's own defaults, and what is named here."""
    defaults = PPOConfig()
    return (
        config.training(
            lr=defaults.lr,
            gamma=defaults.gamma,
            lambda_=defaults.lambda_,
            clip_param=defaults.clip_param,
            vf_clip_param=defaults.vf_clip_param,
            vf_loss_coeff=defaults.vf_loss_coeff,
            entropy_coeff=defaults.entropy_coeff,
            use_kl_loss=defaults.use_kl_loss,
            kl_coeff=defaults.kl_coeff,
            kl_target=defaults.kl_target,
            grad_clip=defaults.grad_clip,
            train_batch_size_per_learner=defaults.train_batch_size,
            minibatch_size=defaults.minibatch_size,
            num_epochs=defaults.num_epochs,
        )
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=1,
            batch_mode="complete_episodes",
            rollout_fragment_length="auto",
            env_to_module_connector=make_connector,
        )
        .multi_agent(policies_to_train=["tile_selector"])
        # The report sets no seed. With one, complete_episodes would start every episode in the same state
        # (ray/rllib/env/multi_agent_env_runner.py:321-327, seen in 2.60.0), which is another defect than the reported one.
        .debugging(seed=None)
    )


task = dataclasses.replace(
    tiles,
    id="reported",
    rllib_module=MaskedPPOModule,
    other_modules={"res_selector": ResSelectorModule},
    rllib_config=rllib_config,
)
