"""Masked action distributions for RLlib that do sb3-contrib's operations in sb3-contrib's order.

sb3-contrib (``sb3_contrib/common/maskable/distributions.py``, 2.9.2) normalises the logits of each sub-action to
log-probabilities, writes -1e8 over the illegal ones and normalises again. RLlib gives a distribution nothing but the
module's ``action_dist_inputs``, so the first two operations are `mask_logits`, called in the module's forward pass, and
the third is the distribution's own. Which actions were illegal is read back from the logits, so that the entropy leaves
exactly those terms out that sb3-contrib leaves out. Log-probs, entropies, probabilities and their gradients are then
equal to the last bit.
"""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import torch

from parity.frameworks.rllib.versions import (
    Distribution,
    TorchCategorical,
    TorchDeterministic,
    TorchMultiCategorical,
)
from parity.task.masks import choices, n_logits

# What MaskableCategorical.apply_masking writes over an illegal logit.
MASKED_LOGIT = -1e8


def mask_logits(logits: torch.Tensor, mask: torch.Tensor, action_space: gymnasium.Space) -> torch.Tensor:
    """The ``action_dist_inputs`` of a masked module.

    Args:
        logits: float32 ``[B, n_logits]``, unmasked, the sub-actions' logits side by side.
        mask: ``[B, n_logits]``, any dtype; non-zero is legal.
        action_space: Discrete, MultiDiscrete or MultiBinary (two logits per entry).

    Returns:
        float32 ``[B, n_logits]``: log-probabilities of the unmasked distribution where legal, -1e8 elsewhere.
    """
    sizes = choices(action_space)
    legal = mask.to(device=logits.device, dtype=torch.bool)
    if len(sizes) == 1:
        return _masked(logits, legal)
    parts = zip(logits.split(sizes, dim=-1), legal.split(sizes, dim=-1), strict=True)
    return torch.cat([_masked(*part) for part in parts], dim=-1)


def _masked(logits: torch.Tensor, legal: torch.Tensor) -> torch.Tensor:
    return torch.where(legal, logits - logits.logsumexp(dim=-1, keepdim=True), MASKED_LOGIT)


def masked_distribution(action_space: gymnasium.Space) -> type[Distribution]:
    """The distribution class for `mask_logits`'s output, to be a module's ``action_dist_cls``.

    Raises:
        CannotStart: MaskablePPO does not support the action space.
    """
    if isinstance(action_space, gymnasium.spaces.Discrete):
        return TorchMaskedCategorical
    return _multi_categorical(tuple(choices(action_space)))


class TorchMaskedCategorical(TorchCategorical):
    """Counterpart of sb3-contrib's ``MaskableCategorical``; ``logits``: float32 ``[B, n]`` from `mask_logits`."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__(logits=logits)
        # Half of -1e8 lies far below any log-probability of float32 and far above the logits of other mask arithmetics.
        self._legal = logits > 0.5 * MASKED_LOGIT

    def entropy(self) -> torch.Tensor:
        p_log_p = self._dist.logits * self._dist.probs
        p_log_p = torch.where(self._legal, p_log_p, 0.0)
        return -p_log_p.sum(-1)

    def to_deterministic(self) -> TorchDeterministic:
        return TorchDeterministic(loc=torch.argmax(self._dist.probs, dim=-1))


class TorchMaskedMultiCategorical(TorchMultiCategorical):
    """Counterpart of ``MaskableMultiCategoricalDistribution`` (and of its Bernoulli form, two logits per entry).

    A subclass with ``sizes`` set comes from `masked_distribution`; RLlib builds distributions from logits alone.
    """

    sizes: tuple[int, ...] = ()

    @classmethod
    def from_logits(cls, logits: torch.Tensor, **_: Any) -> TorchMaskedMultiCategorical:
        return cls([TorchMaskedCategorical(part) for part in logits.split(cls.sizes, dim=-1)])

    @staticmethod
    def required_input_dim(space: gymnasium.Space, **_: Any) -> int:
        return n_logits(space)

    def logp(self, value: torch.Tensor, **_: Any) -> torch.Tensor:
        # RLlib's own sums along another dimension than sb3-contrib, which may differ in the last bit.
        columns = torch.unbind(value.reshape(-1, len(self._cats)), dim=1)
        return torch.stack([part.logp(column) for part, column in zip(self._cats, columns, strict=True)], dim=1).sum(
            dim=1
        )

    def to_deterministic(self) -> TorchDeterministic:
        return TorchDeterministic(loc=torch.stack([part.to_deterministic().loc for part in self._cats], dim=-1))


@functools.cache
def _multi_categorical(sizes: tuple[int, ...]) -> Any:
    return type("TorchMaskedMultiCategorical", (TorchMaskedMultiCategorical,), {"sizes": sizes})
