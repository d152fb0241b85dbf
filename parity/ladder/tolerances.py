"""The tolerances of the ladder, in one place (shared by every rung; the contract states them)."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """A difference holds if it is within ``absolute`` or within ``relative`` of the reference.

    Elementwise for logits, log-probs, values, advantages and targets; for gradients and parameters the difference's
    2-norm over the tensor against the reference's, with ``floor`` for tensors near zero.
    """

    absolute: float
    relative: float
    floor: float


# float32: one operation's relative error is 6e-8, a forward pass of a few layers stays below 1e-6.
CPU = Tolerance(absolute=1e-6, relative=1e-5, floor=1e-7)
# Reductions on a GPU add in another order than on a CPU and differ with the batch size, TF32 switched off.
CUDA = Tolerance(absolute=1e-5, relative=1e-4, floor=1e-6)
# Outputs of scaled weights: rounding errors are scaled too, and a clamp is off by whole units.
SCALED_WEIGHTS = Tolerance(absolute=1e-4, relative=1e-4, floor=1e-4)


def tolerance(device: str) -> Tolerance:
    return CUDA if device.startswith("cuda") else CPU
