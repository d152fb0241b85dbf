"""Phases: the innermost part that reported counts, nothing stays wrapped, and copies are told from conversions."""

from __future__ import annotations

import time

import pytest
import torch

from parity.frameworks.phases import PHASES, Phases, moves


class Loop:
    def iterate(self) -> None:
        time.sleep(0.01)
        self.sample()

    def sample(self) -> None:
        time.sleep(0.02)
        self.step()

    def step(self) -> None:
        time.sleep(0.03)


class Overriding(Loop):
    def iterate(self) -> None:
        super().iterate()


def test_the_innermost_part_counts_and_the_rest_is_bookkeeping() -> None:
    loop, phases = Loop(), Phases()
    phases.watch(loop, "sample", "loss")
    phases.watch(loop, "step", "environment", "Loop")
    phases.begin()
    loop.iterate()
    phases.settle()
    means = phases.means(1)
    assert list(means) == list(PHASES)
    for phase, least in (("bookkeeping", 0.01), ("loss", 0.02), ("environment", 0.03)):
        assert least <= means[phase].wall_s and means[phase].cpu_s < means[phase].wall_s
    assert means["environment"].parts["Loop"].wall_s == means["environment"].wall_s


def test_what_returns_call_belongs_to_them() -> None:
    loop, phases = Loop(), Phases()
    phases.watch(loop, "sample", "returns")
    phases.watch(loop, "step", "environment")
    loop.iterate()
    assert phases.means(1)["environment"].wall_s == 0


def test_wrappers_go_and_no_method_looks_overridden_meanwhile() -> None:
    """The fast path asks whether a method is its class's own: hooks must not push a training off it."""
    call, backward, sample = torch.nn.Module.__call__, torch.Tensor.backward, Loop.sample
    phases = Phases()
    with phases.watching_torch():
        phases.watch(Overriding, "sample", "loss")
        assert Overriding.sample is Loop.sample is not sample and "sample" not in vars(Overriding)
        network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        with torch.no_grad():
            network(torch.ones(1, 2))
        assert phases.means(1)["forward"].wall_s == 0, "without gradients it is no forward pass of the update"
        network(torch.ones(1, 2)).sum().backward()
    assert min(phases.means(1)[phase].wall_s for phase in ("forward", "backward")) > 0
    assert torch.nn.Module.__call__ is call and torch.Tensor.backward is backward and Loop.sample is sample


@pytest.mark.parametrize(
    ("arguments", "copied"),
    [
        (("meta",), True),
        ((torch.device("meta"), torch.float64), True),
        ((torch.float64,), False),
        (("cpu",), False),
        ((torch.ones(1, device="meta"),), True),
    ],
)
def test_only_another_device_is_a_copy(arguments: tuple[object, ...], copied: bool) -> None:
    assert moves(torch.ones(1), *arguments) is copied
