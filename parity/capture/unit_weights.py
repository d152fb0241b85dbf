"""Draws weights at which a network's layers give numbers of order 1, whatever the size of its observations.

Initial weights hide what a network computes: observations around 400 drive every tanh into saturation, observations of
1e-3 leave every activation in its linear part, and an output layer close to zero shows neither.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import tree

# Relative to all weights: some units in the last place, what another order of summation makes.
NUDGE = 1e-6

Tensors = dict[str, torch.Tensor]


def random_values(shape: torch.Size, seed: int) -> torch.Tensor:
    """Normal numbers, float32: in matrices of a variance that keeps the size of what goes through, else of 1/4."""
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return numbers * (1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.5)


def of_size(numbers: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    """Scaled to the root mean square of other numbers."""
    return numbers * (of.square().mean().sqrt() / numbers.square().mean().sqrt().clamp(min=1e-3))


def alike_in_columns(values: torch.Tensor) -> torch.Tensor:
    """A matrix with its mean column in place of each: the order of what it is applied to makes no difference."""
    return values.mean(1, keepdim=True).expand_as(values)


def unit_weights(
    module: torch.nn.Module, run: Callable[[], Any], tied: bool, any_order: frozenset[int] = frozenset()
) -> Tensors:
    """Parameter's name -> values, as left in ``module``: random, and such that each layer's output has a standard size.

    Layer-sequential unit variance (Mishkin and Matas, 2016), in one pass: each submodule that holds a matrix scales it when
    it is first called.

    Args:
        run: one forward pass of ``module``.
        tied: whether all parameters of one shape get the same values; otherwise each gets its own.
        any_order: numbers of columns; matrices of so many get columns that are all the same.
    """
    named = dict(module.named_parameters())
    shapes = list(dict.fromkeys(parameter.shape for parameter in named.values()))
    with torch.no_grad():
        for place, parameter in enumerate(named.values()):
            values = random_values(parameter.shape, shapes.index(parameter.shape) if tied else place)
            parameter.copy_(alike_in_columns(values) if values.ndim == 2 and values.shape[1] in any_order else values)
        with _scaling(module, list(named.values()), tied):
            run()
    return {name: parameter.detach().clone() for name, parameter in named.items()}


def nudged(values: Tensors) -> Tensors:
    """The same moved by about `NUDGE`: what outputs then move by is rounding."""
    return {name: each * (1 + NUDGE * random_values(each.shape, 7)) for name, each in values.items()}


@contextlib.contextmanager
def _scaling(module: torch.nn.Module, parameters: list[torch.nn.Parameter], tied: bool) -> Iterator[None]:
    done: set[Any] = set()

    def scale(layer: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        matrices = [p for p in layer.parameters(recurse=False) if p.ndim > 1]
        fresh = [p for p in matrices if (p.shape if tied else id(p)) not in done]
        if not fresh:
            return None
        done.update(p.shape if tied else id(p) for p in fresh)
        # Without biases, beside which small observations would stay small.
        offsets = [p for p in layer.parameters(recurse=False) if p.ndim <= 1]
        kept = [p.clone() for p in offsets]
        for offset in offsets:
            offset.zero_()
        size = _size(layer.forward(*args, **kwargs))
        for offset, before in zip(offsets, kept, strict=True):
            offset.copy_(before)
        if not 0 < size < math.inf:
            return None
        for matrix in fresh:
            for other in parameters:
                if other is matrix or (tied and other.shape == matrix.shape):
                    other.div_(size)
        return layer.forward(*args, **kwargs)

    handles = [
        layer.register_forward_hook(scale, with_kwargs=True)
        for layer in module.modules()
        if any(p.ndim > 1 for p in layer.parameters(recurse=False))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _size(output: Any) -> float:
    """Root of the mean square of a layer's first tensor."""
    tensors = [leaf for leaf in tree.flatten(output) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
    return float(tensors[0].square().mean().sqrt()) if tensors else 0.0
