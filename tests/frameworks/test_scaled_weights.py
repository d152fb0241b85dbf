"""Grown weights: outputs as far apart as training makes them, by linear parameters alone, and nothing is left changed."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from parity.capture.scaled_weights import LOGITS, VALUES, scale_factors, scaled


class Shared(nn.Module):
    def __init__(self, bound: float | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.trunk, self.policy, self.value = nn.Linear(5, 16), nn.Linear(16, 4), nn.Linear(16, 1)
        for layer, scale in ((self.trunk, 0.5), (self.policy, 0.01), (self.value, 0.2)):
            layer.weight.data = scale * torch.randn(layer.weight.shape, generator=generator)
            layer.bias.data.zero_()
        self.bound = bound

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.tanh(self.trunk(seen))
        logits = self.policy(features)
        return logits if self.bound is None else logits.clamp(-self.bound, self.bound), self.value(features).squeeze(-1)


class Apart(nn.Module):
    """A tower each; the first layers enter through tanh, the last ones linearly."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.actor = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4))
        self.critic = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.actor(seen), self.critic(seen).squeeze(-1)


SEEN = torch.randn(32, 5, generator=torch.Generator().manual_seed(1))


def sizes(module: nn.Module) -> tuple[float, float]:
    logits, values = module(SEEN)
    return float((logits.amax(-1) - logits.amin(-1)).max().detach()), float(values.abs().max().detach())


@pytest.mark.parametrize("module", [Shared(), Apart()], ids=["shared trunk", "two towers"])
def test_outputs_get_as_far_apart_as_asked(module: nn.Module) -> None:
    before = sizes(module)
    with scaled(module, scale_factors(module, lambda: module(SEEN))):
        spread, largest = sizes(module)
    assert before[0] < LOGITS / 10
    assert LOGITS <= spread < 1.1 * LOGITS
    assert VALUES <= largest < 1.1 * VALUES


def test_weights_are_what_they_were_afterwards() -> None:
    module = Shared()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    by = scale_factors(module, lambda: module(SEEN))
    with contextlib.suppress(ZeroDivisionError), scaled(module, by):
        assert not torch.equal(module.policy.weight, before["policy.weight"])
        raise ZeroDivisionError
    assert all(torch.equal(each, before[name]) for name, each in module.state_dict().items())


def test_only_parameters_that_enter_linearly_and_move_one_output_are_multiplied() -> None:
    shared, apart = (set(scale_factors(m, lambda m=m: m(SEEN))) for m in (Shared(), Apart()))
    assert shared == {"policy.weight", "value.weight"}  # biases are zero
    assert apart == {"actor.2.weight", "actor.2.bias", "critic.2.weight", "critic.2.bias"}


def test_outputs_that_cannot_get_there_end_the_search() -> None:
    module = Shared(bound=5.0)
    with scaled(module, scale_factors(module, lambda: module(SEEN))):
        assert sizes(module)[0] <= 10.0


def test_a_network_without_values_grows_its_logits() -> None:
    module = Shared()
    assert set(scale_factors(module, lambda: (module(SEEN)[0], None))) == {"policy.weight"}
