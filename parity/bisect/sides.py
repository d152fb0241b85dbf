"""A finished SB3 side as the network of the reference port."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces

from parity.frameworks.network import NetworkFactory
from parity.frameworks.randomness import seeded
from parity.frameworks.sb3 import build_model, vec_env
from parity.task import Task


def sb3_network(task: Task) -> NetworkFactory:
    """``(observation_space, action_space) -> Module`` that computes what the policy of ``task.sb3_model`` computes."""

    def build(observation_space: spaces.Space, action_space: spaces.Space) -> torch.nn.Module:
        # Its weights follow from the seed that the caller has set, as those of every other network.
        seed = int(torch.initial_seed() % 2**31)
        with seeded(seed):
            env = vec_env(task, task.ppo.n_envs)
            try:
                return _PolicyNetwork(build_model(task, env, seed, "cpu").policy)
            finally:
                env.close()

    build.__name__ = getattr(task.sb3_model, "__name__", "sb3_model")
    return build


class _PolicyNetwork(torch.nn.Module):
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
