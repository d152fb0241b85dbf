"""Scales initial weights so that outputs span the range that they reach in training.

Initial logits and values are near zero. A clamp, a squashing, a small constant inside a logarithm or a weak mask changes
nothing there, and limits what can be learned later.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping

import torch

from parity.capture.sensitivity import Outputs, output_sensitivity, restored

# Largest difference between the logits of two legal actions: a decided policy, e^-30 is nothing beside float32's 1.
# Largest value: returns of this size are common.
LOGITS, VALUES = 30.0, 1e3
# Factors beyond it say that the outputs cannot get there.
LARGEST = 2.0**24
BISECTIONS = 6
# Of an output's change on doubling and trebling a parameter: float32's noise, where outputs are small beside their offset.
NOISE = 1e-2


def scale_factors(module: torch.nn.Module, outputs: Outputs) -> dict[str, float]:
    """Parameter's name -> by what to multiply it, so that logits differ by `LOGITS` and values reach `VALUES`.

    Only parameters that move one of the two and enter it linearly, as those of a last layer do: rounding errors then grow as
    the outputs do, and no faster. Empty where there is none.

    ``outputs``: its logits ``[B, n]`` are centred over the legal actions and 0 at the others.
    """
    named = dict(module.named_parameters())
    moved = output_sensitivity(module, outputs)
    factors: dict[str, float] = {}
    for which, size, target in ((0, _spread, LOGITS), (1, _magnitude, VALUES)):
        own = [name for name, each in moved.items() if each[which] > 0 and each[1 - which] == 0]
        linear = [name for name in own if _is_linear(named[name], outputs, which)]
        if linear:
            factor = _factor([named[name] for name in linear], outputs, which, size, target)
            factors |= dict.fromkeys(linear, factor)
    return factors


@contextlib.contextmanager
def scaled(module: torch.nn.Module, by: Mapping[str, float]) -> Iterator[None]:
    """Multiplies the module's parameters for the time of the block."""
    named = {name: module.get_parameter(name) for name in by}
    with restored(named.values()):
        for name, parameter in named.items():
            parameter.mul_(by[name])
        yield


def _spread(logits: torch.Tensor) -> float:
    return float((logits.amax(-1) - logits.amin(-1)).max())


def _magnitude(values: torch.Tensor) -> float:
    return float(values.abs().max())


def _output(outputs: Outputs, which: int, parameters: list[torch.Tensor], factor: float) -> torch.Tensor:
    with restored(parameters):
        for parameter in parameters:
            parameter.mul_(factor)
        output = outputs()[which]
    assert output is not None  # a parameter moves it
    return output


def _is_linear(parameter: torch.Tensor, outputs: Outputs, which: int) -> bool:
    once, twice, thrice = (_output(outputs, which, [parameter], factor).double() for factor in (1.0, 2.0, 3.0))
    step, next_step = twice - once, thrice - twice
    # A bias of zeros can be multiplied at will.
    return bool(step.any()) and bool((next_step - step).abs().max() <= NOISE * step.abs().max())


def _factor(
    parameters: list[torch.Tensor], outputs: Outputs, which: int, size: Callable[[torch.Tensor], float], target: float
) -> float:
    def at(factor: float) -> float:
        return size(_output(outputs, which, parameters, factor))

    high = next(f for f in (2.0**k for k in itertools.count()) if f >= LARGEST or at(f) >= target)
    low = high / 2
    for _ in range(BISECTIONS if 1.0 < high < LARGEST else 0):
        middle = (low + high) / 2
        low, high = (low, middle) if at(middle) >= target else (middle, high)
    return high
