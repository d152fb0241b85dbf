"""`FlatAdam` steps as ``torch.optim.Adam`` does, to the last bit, whatever happens to optimizer and gradients between."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from parity.frameworks.rllib.fast.adam import FlatAdam, flat_gradient

# Sizes around the width of vector instructions, whose remainders are computed by other instructions.
SHAPES = [(1,), (3, 5), (16,), (17, 3), (64, 33), (2, 3, 5, 7), ()]


class Sides:
    """Two copies of the same parameters, one stepped by `FlatAdam`, the other by ``torch.optim.Adam``."""

    def __init__(self, **options: Any) -> None:
        self.random = torch.Generator().manual_seed(0)
        self.theirs = [torch.nn.Parameter(self.draw(shape)) for shape in SHAPES]
        self.ours = copy.deepcopy(self.theirs)
        self.their_adam = torch.optim.Adam(self.theirs, **options)
        self.our_adam = torch.optim.Adam(self.ours, **options)
        self.flat = FlatAdam(self.our_adam)

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self.random)

    def step(self, without: tuple[int, ...] = ()) -> None:
        for index, (a, b) in enumerate(zip(self.theirs, self.ours, strict=True)):
            a.grad = None if index in without else self.draw(tuple(a.shape))
            b.grad = None if a.grad is None else a.grad.clone()
        self.their_adam.step()
        parameters = [p for p in self.ours if p.grad is not None]
        gradient = flat_gradient(parameters)
        assert gradient is not None
        self.flat.step(parameters, gradient)

    def check(self) -> None:
        for a, b in zip(self.theirs, self.ours, strict=True):
            assert torch.equal(a, b)
        theirs, ours = self.their_adam.state_dict(), self.our_adam.state_dict()
        assert theirs["param_groups"] == ours["param_groups"]
        assert list(theirs["state"]) == list(ours["state"])
        for a, b in zip(theirs["state"].values(), ours["state"].values(), strict=True):
            assert list(a) == list(b)
            assert all(torch.equal(a[name], b[name]) and a[name].shape == b[name].shape for name in a)


def nothing(sides: Sides) -> None:
    pass


def loads_an_earlier_state(sides: Sides) -> None:
    for adam in (sides.their_adam, sides.our_adam):
        earlier = copy.deepcopy(adam.state_dict())
        for of in earlier["state"].values():
            of["exp_avg"] *= 2
            of["step"] += 3
        adam.load_state_dict(earlier)


def moves_parameters(sides: Sides) -> None:
    """As ``module.to()`` does on its way to another device and back."""
    for parameters in (sides.theirs, sides.ours):
        for p in parameters:
            p.data = p.data.to(torch.float64).to(torch.float32)


def changes_the_learning_rate(sides: Sides) -> None:
    for adam in (sides.their_adam, sides.our_adam):
        adam.param_groups[0]["lr"] = 0.05


def leaves_a_parameter_out(sides: Sides) -> None:
    sides.step(without=(2,))


def leaves_the_first_out_once(sides: Sides) -> None:
    sides.step(without=(0,))
    sides.step(without=(0, 1))


def hooks_in(sides: Sides) -> None:
    def doubles(optimizer: Any, *_: Any) -> None:
        for p in optimizer.param_groups[0]["params"]:
            p.grad = 2 * p.grad

    for adam in (sides.their_adam, sides.our_adam):
        adam.register_step_pre_hook(doubles)


@pytest.mark.parametrize(
    "options", [{}, {"eps": 1e-5, "lr": 3e-4}, {"betas": (0.5, 0.9)}, {"weight_decay": 0.1}, {"amsgrad": True}]
)
@pytest.mark.parametrize(
    "between",
    [
        nothing,
        loads_an_earlier_state,
        moves_parameters,
        changes_the_learning_rate,
        leaves_a_parameter_out,
        leaves_the_first_out_once,
        hooks_in,
    ],
)
def test_the_flat_step_is_adams_to_the_last_bit(between: Callable[[Sides], None], options: dict[str, Any]) -> None:
    sides = Sides(**options)
    for _ in range(3):
        sides.step()
    between(sides)
    for _ in range(3):
        sides.step()
    sides.check()


def test_the_first_step_may_lack_a_gradient() -> None:
    sides = Sides()
    sides.step(without=(1, 4))
    sides.check()
    sides.step()
    sides.check()
