"""Which parameter is which: found by what each does, at any size of observations; other networks are never called equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from parity.capture.pairing import Network, find_pairing, unused

D, H, BRANCHES = 6, 16, (3, 3)
# Sizes of observations: (middle, spread).
SIZES = {"order 1": (0.0, 1.0), "around 400": (450.0, 50.0), "of 1e-3": (0.0, 1e-3)}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More of them only wait for each other over networks of a few hundred weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(module: nn.Module, size: str = "order 1") -> Network:
    middle, spread = SIZES[size]
    sets = [middle + spread * torch.randn(24, D, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]

    def outputs() -> list[torch.Tensor | None]:
        given: list[torch.Tensor | None] = []
        for observations in sets:
            torch.manual_seed(0)
            logits, values = module(observations)
            parts = [part.log_softmax(-1) for part in logits.split(BRANCHES, -1)]
            given.append(torch.cat([*parts, values.reshape(-1, 1)], -1).detach())
        return given

    return Network(module, outputs)


class Towers(nn.Module):
    """As a task has it: two towers of one size, two hidden layers of one size in each."""

    def __init__(self) -> None:
        super().__init__()
        self.pi = nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, H), nn.Tanh(), nn.Linear(H, sum(BRANCHES)))
        self.vf = nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, H), nn.Tanh(), nn.Linear(H, 1))

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pi(seen), self.vf(seen).squeeze(-1)


class OtherTowers(nn.Module):
    """The same with other names and nesting, registered in another order; ``mistake`` is one of those below."""

    def __init__(self, mistake: str = "none") -> None:
        super().__init__()
        self.mistake = mistake
        self.value_out = nn.Linear(H, 1)
        self.second = nn.ModuleDict({"critic": nn.Linear(H, H), "actor": nn.Linear(H, H)})
        self.first = nn.ModuleDict({"critic": nn.Linear(D, H), "actor": nn.Linear(D, H)})
        self.w = nn.Parameter(torch.zeros(sum(BRANCHES), H))
        self.b = nn.Parameter(torch.zeros(sum(BRANCHES)))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return {"relu": torch.relu, "elu": nn.functional.elu, "no activation": lambda x: x}.get(
            self.mistake, torch.tanh
        )(x)

    def features(self, name: str, seen: torch.Tensor) -> torch.Tensor:
        if self.mistake == "half blind":
            seen = seen * (torch.arange(D) < D // 2)
        if self.mistake == "scaled input":
            seen = seen / 255
        if self.mistake == "input normalised":
            seen = (seen - seen.mean(-1, keepdim=True)) / seen.std(-1, keepdim=True)
        hidden = self.act(self.first[name](seen))
        if self.mistake == "dropout":
            hidden = nn.functional.dropout(hidden, 0.3)
        above = self.act(self.second[name](hidden))
        return above + hidden if self.mistake == "residual added" else above

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        actor, critic = self.features("actor", seen), self.features("critic", seen)
        if self.mistake == "value from the policy's tower":
            critic = actor
        if self.mistake == "policy blind in one tower":
            actor = self.features("actor", torch.cat([seen[:, :3], torch.zeros_like(seen[:, 3:])], -1))
        logits = nn.functional.linear(actor, self.w, self.b)
        if self.mistake == "branches in another order":
            logits = logits.flip(-1)
        return logits, self.value_out(critic)[:, 0]


MISTAKES = (
    "relu", "elu", "no activation", "half blind", "policy blind in one tower", "scaled input", "input normalised", "dropout",
    "residual added", "value from the policy's tower", "branches in another order",
)  # fmt: skip
RIGHT = {
    "pi.0.weight": "first.actor.weight", "pi.0.bias": "first.actor.bias",
    "pi.2.weight": "second.actor.weight", "pi.2.bias": "second.actor.bias", "pi.4.weight": "w", "pi.4.bias": "b",
    "vf.0.weight": "first.critic.weight", "vf.0.bias": "first.critic.bias",
    "vf.2.weight": "second.critic.weight", "vf.2.bias": "second.critic.bias",
    "vf.4.weight": "value_out.weight", "vf.4.bias": "value_out.bias",
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_equal_networks_are_paired_whatever_their_parameters_are_called(size: str) -> None:
    found = find_pairing(network(Towers(), size), network(OtherTowers(), size))
    assert found is not None and found.same and found.pairs == RIGHT


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_networks_that_differ_are_called_equal_under_no_pairing(mistake: str, size: str) -> None:
    found = find_pairing(network(Towers(), size), network(OtherTowers(mistake), size))
    assert found is not None and found.same is False


@pytest.mark.parametrize("mistake", MISTAKES)
def test_of_networks_that_differ_the_likeliest_pairs_are_taken(mistake: str) -> None:
    found = find_pairing(network(Towers()), network(OtherTowers(mistake)))
    assert found is not None
    towers = [(name.split(".")[0], "critic" in other or "value" in other) for name, other in found.pairs.items()]
    assert all(is_value == (tower == "vf") for tower, is_value in towers)
    assert all(other == RIGHT[name] for name, other in found.pairs.items() if name.endswith("weight")), mistake


def test_names_that_fit_are_kept_and_names_that_mislead_are_not() -> None:
    class Misnamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vf, self.pi = Towers().pi, Towers().vf

        def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.vf(seen), self.pi(seen).squeeze(-1)

    names = dict(Towers().named_parameters())
    same = {name: name for name in names}
    found = find_pairing(network(Towers()), network(Towers()), same)
    assert found is not None and found.same and found.pairs == same
    hidden = {n: n for n in names if n[3] in "02"}
    swapped = hidden | {n: {"pi": "vf", "vf": "pi"}[n[:2]] + n[2:] for n in names if n[3] == "4"}
    found = find_pairing(network(Towers()), network(Misnamed()), swapped)
    assert found is not None and found.same
    assert found.pairs["pi.0.weight"] == "vf.0.weight" and found.pairs["vf.2.bias"] == "pi.2.bias"


class Ensemble(nn.Module):
    """Towers that no output tells apart."""

    def __init__(self, members: int = 3, norm: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Linear(D, H) for _ in range(members))
        self.norms = nn.ModuleList(nn.LayerNorm(H, elementwise_affine=norm) for _ in range(members))
        self.heads = nn.ModuleList(nn.Linear(H, n) for n in BRANCHES)
        self.value = nn.Linear(H, 1)
        self.spare = nn.Linear(D, H) if norm else None

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        each = (norm(torch.tanh(member(seen))) for member, norm in zip(self.members, self.norms, strict=True))
        features = torch.stack(list(each)).sum(0)
        return torch.cat([head(features) for head in self.heads], -1), self.value(features).squeeze(-1)


class EnsembleWithHeadsSwapped(Ensemble):
    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, values = super().forward(seen)
        return logits.roll(BRANCHES[0], -1), values


@pytest.mark.parametrize(
    "theirs", [Ensemble, EnsembleWithHeadsSwapped], ids=["as it is", "heads listed in another order"]
)
def test_what_no_output_tells_apart_may_be_paired_either_way(theirs: Callable[..., nn.Module]) -> None:
    found = find_pairing(network(Ensemble()), network(theirs()))
    assert found is not None and found.same and len(set(found.pairs.values())) == len(found.pairs)


def test_of_other_shapes_there_is_no_pairing() -> None:
    assert find_pairing(network(Ensemble(2)), network(Ensemble(3))) is None


def test_what_no_output_depends_on_is_no_part_of_a_network() -> None:
    with_norm = Ensemble(norm=True)
    assert unused(network(with_norm)) == {"spare.weight", "spare.bias"}
    assert unused(network(Towers())) == frozenset()


@pytest.mark.parametrize("bound", [2.0, 2000.0])
def test_a_bound_beyond_what_is_shown_is_no_difference(bound: float) -> None:
    class Bounded(Towers):
        def forward(self, seen: torch.Tensor) -> Any:
            return super().forward(seen.clamp(-bound, bound))

    def shown_then_drawn(module: nn.Module) -> Network:
        of = network(module, "around 400")
        drawn = 1e4 * torch.randn(24, D, generator=torch.Generator().manual_seed(3))

        def outputs() -> list[torch.Tensor | None]:
            logits, values = module(drawn)
            parts = [part.log_softmax(-1) for part in logits.split(BRANCHES, -1)]
            return [of.outputs()[0], torch.cat([*parts, values.reshape(-1, 1)], -1).detach()]

        return Network(module, outputs)

    found = find_pairing(shown_then_drawn(Towers()), shown_then_drawn(Bounded()))
    assert found is not None and found.same == (bound == 2000.0)
