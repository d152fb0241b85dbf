"""Samples actions by inverse CDF from given uniforms, so that two frameworks can act on one stream of randomness."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def inverse_cdf(probs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Samples one categorical variable by inverse CDF.

    Args:
        probs: float ``[B, n]``, non-negative; need not sum to exactly one.
        uniforms: float64 ``[B]`` in [0, 1).

    Returns:
        int64 ``[B]``: the first index whose cumulative probability (summed in float64) exceeds the uniform. An index of
        probability zero is never returned.
    """
    cdf = probs.detach().to(torch.float64).cumsum(dim=-1)
    total = cdf[:, -1]
    target = torch.minimum(uniforms.to(total) * total, torch.nextafter(total, torch.zeros_like(total)))
    return (cdf <= target.unsqueeze(-1)).sum(dim=-1)


def draw(probs: torch.Tensor, uniforms: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """Actions of one or several categorical sub-actions.

    Args:
        probs: float ``[B, sum(sizes)]``, the sub-actions' probabilities side by side.
        uniforms: float64 ``[B, len(sizes)]`` in [0, 1).
        sizes: options of each sub-action.

    Returns:
        int64 ``[B]`` for one sub-action, else ``[B, len(sizes)]``.
    """
    parts = torch.split(probs, list(sizes), dim=-1)
    actions = torch.stack([inverse_cdf(part, uniforms[:, i]) for i, part in enumerate(parts)], dim=-1)
    return actions.squeeze(-1) if len(sizes) == 1 else actions


def margins(probs: torch.Tensor, uniforms: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """The smallest error of a cumulative probability that would make `draw` choose another action: float64 ``[B]``.

    Args: those of `draw`.
    """
    nearest = []
    for i, part in enumerate(torch.split(probs, list(sizes), dim=-1)):
        cdf = part.detach().to(torch.float64).cumsum(dim=-1)
        cdf = cdf / cdf[:, -1:]
        # The last boundary is 1 whatever the probabilities are.
        distance = (cdf[:, :-1] - uniforms[:, i : i + 1].to(cdf)).abs()
        nearest.append(torch.cat([distance, torch.ones_like(cdf[:, :1])], dim=-1).amin(dim=-1))
    return torch.stack(nearest).amin(dim=0)
