"""The shared network as TorchRL's actor and critic: one module, masked by TorchRL's own ``MaskedCategorical``."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from tensordict import TensorDict
from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential, TensorDictModule
from torchrl.modules import MaskedCategorical

from parity.frameworks.network import NetworkFactory, build_network, network_input
from parity.task.masks import choices
from parity_torchrl.env import MASK, by_entry, entries

LOGITS, VALUE, ACTION, LOG_PROB = "logits", "state_value", "action", "action_log_prob"


class SharedNetwork(torch.nn.Module):
    """The task's network over tensordict entries with any number of leading dimensions."""

    def __init__(
        self, factory: NetworkFactory, observation_space: spaces.Space, action_space: spaces.Space, seed: int | None
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.network = build_network(factory, observation_space, action_space, seed)

    def forward(self, *parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits ``[…, n_logits]`` and values ``[…, 1]``; ``parts``: ``[…, *space.shape]`` each, in the space's order."""
        space = self.observation_space
        first = next(iter(entries(space).values()))
        leading = parts[0].shape[: parts[0].ndim - len(first.shape or ())]
        observations: Any = dict(zip(space.spaces, parts, strict=True)) if isinstance(space, spaces.Dict) else parts[0]
        logits, values = self.network(network_input(observations, space))
        return logits.reshape(*leading, -1), values.reshape(*leading, 1)


class MaskedCategoricals(torch.distributions.Distribution):
    """Independent masked sub-actions of a ``MultiDiscrete`` or ``MultiBinary`` action, logits and masks side by side.

    Args:
        logits: float32 ``[…, sum(sizes)]``.
        mask: bool, of the same shape.
        sizes: options of each sub-action.
        dtype: of the actions.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self, logits: torch.Tensor, mask: torch.Tensor, sizes: list[int], dtype: torch.dtype = torch.int64
    ) -> None:
        pairs = zip(logits.split(sizes, dim=-1), mask.split(sizes, dim=-1), strict=True)
        self.parts = [MaskedCategorical(logits=part, mask=allowed) for part, allowed in pairs]
        self._dtype = dtype
        super().__init__(logits.shape[:-1], torch.Size([len(sizes)]), validate_args=False)

    @property
    def probs(self) -> torch.Tensor:
        return torch.cat([part.probs for part in self.parts], dim=-1)

    @property
    def mode(self) -> torch.Tensor:
        return torch.stack([part.mode for part in self.parts], dim=-1).to(self._dtype)

    deterministic_sample = mode

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        return torch.stack([part.sample(sample_shape) for part in self.parts], dim=-1).to(self._dtype)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Of the whole action, ``[…]``; ``value``: ``[…, k]``."""
        picked = value.long().unbind(-1)
        return torch.stack([part.log_prob(v) for part, v in zip(self.parts, picked, strict=True)]).sum(dim=0)

    def entropy(self) -> torch.Tensor:
        return torch.stack([part.entropy() for part in self.parts]).sum(dim=0)


class Policy:
    """Actor and critic around one `SharedNetwork`.

    Attributes:
        module: the network; its parameters are all that is trained.
        actor: tensordict -> logits, action, log-probability.
        critic: tensordict -> state value.
    """

    def __init__(
        self, factory: NetworkFactory, observation_space: spaces.Space, action_space: spaces.Space, seed: int | None
    ) -> None:
        self.module = SharedNetwork(factory, observation_space, action_space, seed)
        seen = list(entries(observation_space))
        head = ProbabilisticTensorDictModule(
            in_keys={"logits": LOGITS, "mask": MASK},
            out_keys=[ACTION],
            distribution_class=_distribution(action_space),
            return_log_prob=True,
        )
        # "_" is thrown away: ClipPPOLoss and GAE ask the critic themselves.
        logits = TensorDictModule(self.module, in_keys=seen, out_keys=[LOGITS, "_"])
        self.actor = ProbabilisticTensorDictSequential(logits, head)
        self.critic = TensorDictModule(self.module, in_keys=seen, out_keys=["_", VALUE])

    def to(self, device: str) -> Policy:
        self.module.to(device)
        return self

    def decide(self, observations: Any, masks: torch.Tensor) -> torch.Tensor:
        """Actions ``[B]`` or ``[B, k]``, under TorchRL's current exploration type."""
        seen = by_entry(observations, self.module.observation_space)
        batch = TensorDict({**seen, MASK: masks}, batch_size=[len(masks)])
        with torch.no_grad():
            return self.actor(batch)[ACTION]

    def ask(self, observations: Any, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values ``[B]`` and probabilities ``[B, n_logits]``."""
        seen = by_entry(observations, self.module.observation_space)
        batch = TensorDict({**seen, MASK: masks}, batch_size=[len(masks)])
        with torch.no_grad():
            return self.critic(batch)[VALUE].flatten(), self.actor.get_dist(batch).probs


def _distribution(action_space: spaces.Space) -> Any:
    if isinstance(action_space, spaces.Discrete):
        return MaskedCategorical
    dtype = torch.int8 if isinstance(action_space, spaces.MultiBinary) else torch.int64
    return partial(MaskedCategoricals, sizes=choices(action_space), dtype=dtype)
