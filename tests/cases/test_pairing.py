"""Which parameter is which: found by what each does, at any size of observations; other networks are never called equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from towers import BRANCHES, MISTAKES, RIGHT, SIZES, D, H, OtherTowers, Towers

from parity.capture.first_difference import first_differences
from parity.capture.input_order import input_orders, take_inputs_in_order
from parity.capture.pairing import Network, find_pairing, unused
from parity.capture.unit_weights import unit_weights


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
    if mistake == "outputs in another order":
        return  # every effect on logits is on others
    towers = [(name.split(".")[0], "critic" in other or "value" in other) for name, other in found.pairs.items()]
    assert all(is_value == (tower == "vf") for tower, is_value in towers)
    assert all(other == RIGHT[name] for name, other in found.pairs.items() if name.endswith("weight")), mistake


@pytest.mark.parametrize("size", SIZES)
def test_inputs_in_another_order_are_found_and_taken_in_that_order(size: str) -> None:
    order = list(reversed(range(D)))
    ours, theirs = Towers(), OtherTowers("inputs reversed")
    found = input_orders(network(ours, size), network(theirs, size), RIGHT)
    assert found == {"pi.first.weight": order, "vf.first.weight": order}
    take_inputs_in_order(ours, found)
    again = find_pairing(network(ours, size), network(theirs, size), RIGHT)
    assert again is not None and again.same
    assert not input_orders(network(Towers(), size), network(OtherTowers("half blind"), size), RIGHT)


def test_names_that_fit_are_kept_and_names_that_mislead_are_not() -> None:
    class Misnamed(Towers):
        def __init__(self) -> None:
            super().__init__()
            self.pi, self.vf = self.vf, self.pi

        def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self._through(self.vf, seen), self._through(self.pi, seen).squeeze(-1)

    same = {name: name for name in dict(Towers().named_parameters())}
    found = find_pairing(network(Towers()), network(Towers()), same)
    assert found is not None and found.same and found.pairs == same
    swapped = same | {
        f"{a}.last.{part}": f"{b}.last.{part}" for a, b in (["pi", "vf"], ["vf", "pi"]) for part in ("weight", "bias")
    }
    found = find_pairing(network(Towers()), network(Misnamed()), swapped)
    assert found is not None and found.same
    assert found.pairs["pi.first.weight"] == "vf.first.weight" and found.pairs["vf.second.bias"] == "pi.second.bias"


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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mistake", [mistake for mistake, said in MISTAKES.items() if said])
def test_the_place_where_networks_part_is_named(mistake: str, size: str) -> None:
    middle, spread = SIZES[size]
    seen = middle + spread * torch.randn(24, D, generator=torch.Generator().manual_seed(0))
    ours, theirs = Towers(), OtherTowers(mistake)
    weights = unit_weights(ours, lambda: ours(seen), tied=False)
    theirs.load_state_dict({other: weights[name] for name, other in RIGHT.items()})
    said = first_differences(ours, lambda: ours(seen), theirs, lambda: theirs(seen), RIGHT)
    assert MISTAKES[mistake] in " ".join(said.values())


def test_networks_that_are_one_part_nowhere() -> None:
    seen = torch.randn(24, D, generator=torch.Generator().manual_seed(0))
    ours, theirs = Towers(), OtherTowers()
    weights = unit_weights(ours, lambda: ours(seen), tied=False)
    theirs.load_state_dict({other: weights[name] for name, other in RIGHT.items()})
    assert first_differences(ours, lambda: ours(seen), theirs, lambda: theirs(seen), RIGHT) == {}
