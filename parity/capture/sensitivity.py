"""How far a module's outputs move when one of its parameters is disturbed: a gradient may be zero where they do not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

# Relative to a parameter's spread: far above float32's noise, too little to wake up a unit that is off.
DISTURBANCE = 1e-2

Outputs = Callable[[], tuple[torch.Tensor, torch.Tensor | None]]
"""One forward pass on some rows, with the module as it is at the time: log-probabilities or logits, and values ``[B]``."""


def output_sensitivity(module: torch.nn.Module, outputs: Outputs) -> dict[str, np.ndarray]:
    """Parameter's name -> float64 [2]: the largest change of the first output and of values (0 where there are none)."""
    generator = torch.Generator().manual_seed(0)
    moved = {}
    with torch.no_grad():
        logp, values = outputs()
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            with restored([parameter]):
                parameter.add_(noise * (DISTURBANCE * float(parameter.abs().mean()) + 1e-3))
                other_logp, other_values = outputs()
            moved[name] = np.array([_moved(logp, other_logp), _moved(values, other_values)])
    return moved


@contextlib.contextmanager
def restored(parameters: Iterable[torch.Tensor]) -> Iterator[None]:
    """Parameters have their numbers again after the block, which computes no gradients."""
    before = [(parameter, parameter.detach().clone()) for parameter in parameters]
    with torch.no_grad():
        try:
            yield
        finally:
            for parameter, kept in before:
                parameter.copy_(kept)


def _moved(before: torch.Tensor | None, now: torch.Tensor | None) -> float:
    if before is None or now is None:
        return 0.0
    return float((now - before).abs().nan_to_num().max())
