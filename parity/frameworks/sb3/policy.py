"""The shared network as the whole policy of sb3-contrib's MaskablePPO."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.distributions import MaskableDistribution, make_masked_proba_distribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule

from parity.frameworks.network import NetworkFactory, build_network, nested, network_input


class SharedNetworkPolicy(MaskableActorCriticPolicy):
    """MaskablePPO's policy with the shared network in place of extractor, MLP, heads, pre-processing and initialisation.

    Everything that ``MaskablePPO.collect_rollouts`` and ``train`` call keeps sb3-contrib's meaning: its masked
    distributions, its evaluation of actions, its Adam.

    Args:
        network: ``(observation_space, action_space) -> nn.Module``.
        network_seed: seed of the initial weights.
        adam_eps: Adam's epsilon.
        network_space: the observation space that the network sees, of which ``observation_space`` has the entries by path;
            None where they are one.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        network: NetworkFactory,
        network_seed: int | None,
        adam_eps: float,
        network_space: spaces.Space | None = None,
        **_: Any,
    ) -> None:
        # MaskableActorCriticPolicy.__init__ would build a features extractor, an MLP and heads of its own.
        BasePolicy.__init__(
            self, observation_space, action_space, optimizer_kwargs={"eps": adam_eps}, normalize_images=False
        )
        self.share_features_extractor = True
        self.action_dist = make_masked_proba_distribution(action_space)
        self.network_space = network_space or observation_space
        self.network = build_network(network, self.network_space, action_space, network_seed)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=adam_eps)

    def _distribution(
        self, obs: Any, action_masks: np.ndarray | torch.Tensor | None
    ) -> tuple[MaskableDistribution, torch.Tensor]:
        """The masked distribution and values ``[B]``, from one forward pass."""
        logits, values = self.network(self._network_input(obs))
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        if action_masks is not None:
            distribution.apply_masking(action_masks)
        return distribution, values

    def forward(
        self, obs: Any, deterministic: bool = False, action_masks: np.ndarray | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        distribution, values = self._distribution(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        log_prob = distribution.log_prob(actions)
        return actions.reshape((-1, *self.action_space.shape)), values.unsqueeze(-1), log_prob  # type: ignore[misc]

    def evaluate_actions(
        self, obs: Any, actions: torch.Tensor, action_masks: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        distribution, values = self._distribution(obs, action_masks)
        return values.unsqueeze(-1), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any, action_masks: np.ndarray | None = None) -> MaskableDistribution:
        return self._distribution(obs, action_masks)[0]

    def predict_values(self, obs: Any) -> torch.Tensor:
        return self.network(self._network_input(obs))[1].unsqueeze(-1)

    def _network_input(self, obs: Any) -> Any:
        return network_input(nested(obs, self.network_space), self.network_space, self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        # Only `policy.save()` asks for it; checkpoints of parity hold the weights and rebuild the rest from the task.
        return {"observation_space": self.observation_space, "action_space": self.action_space}
