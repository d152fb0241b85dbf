"""Says where two networks with the same weights and observations part: between which layers, and by what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
import tree
from torch.nn import functional

from parity.capture.sensitivity import Outputs

# Of numbers of order 1: above what another order of summation makes over a few layers.
SAME = 1e-4
# Logits below it are masked, whatever the network says.
MASKED = -1e6
# Entries that are listed one by one.
LISTED = 8

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "nothing": lambda x: x,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "selu": functional.selu,
    "mish": functional.mish,
    "softsign": functional.softsign,
    "hardtanh": functional.hardtanh,
    "relu6": functional.relu6,
    "gelu(approximate='tanh')": lambda x: functional.gelu(x, approximate="tanh"),
}


@dataclasses.dataclass(frozen=True)
class _Layer:
    """A submodule that holds parameters, at its first call: what it is, the first tensor that goes in and that comes out.

    ``is_whole``: no submodule of its own holds any.
    """

    name: str
    kind: str
    is_whole: bool
    given: torch.Tensor
    result: torch.Tensor


@dataclasses.dataclass(frozen=True)
class _Pair:
    ours: _Layer
    theirs: _Layer

    @property
    def is_of_one_kind(self) -> bool:
        """Not a layer on one side and, on the other, a network of layers that holds the same parameters by itself."""
        return self.ours.is_whole == self.theirs.is_whole

    @property
    def names(self) -> str:
        return self.ours.name if self.ours.name == self.theirs.name else f"{self.ours.name} ({self.theirs.name})"


def first_differences(
    ours: torch.nn.Module,
    run_ours: Outputs,
    theirs: torch.nn.Module,
    run_theirs: Outputs,
    pairs: Mapping[str, str],
    other_side: str = "SB3",
) -> dict[str, str]:
    """``logits`` and ``values`` -> where, on the way to them, the networks part, as a clause; without those that don't.

    Args:
        ours, theirs: SB3's network and the port's, with the same weights in paired parameters and on the same observations.
        pairs: SB3's parameter -> the port's.
        other_side: whose network stands in SB3's place, in words.
    """
    seen, outputs = _traced(ours, run_ours)
    with torch.no_grad():
        others, other_outputs = _traced(theirs, run_theirs)
    counterparts = {_owner(name): _owner(other) for name, other in pairs.items()}
    both = [
        _Pair(layer, others[counterparts[name]]) for name, layer in seen.items() if counterparts.get(name) in others
    ]
    layers = [pair for pair in both if pair.is_of_one_kind]
    places = {}
    for which, output, other in zip(("logits", "values"), outputs, other_outputs, strict=True):
        # A distribution of one's own may take other inputs than logits.
        if output is None or other is None or output.numel() != other.numel():
            continue
        way = [pair for pair in layers if _reaches(ours, pair.ours.name, output)]
        place = _first(way, output.detach(), other, other_side)
        if place is not None:
            places[which] = place
    return places


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _reaches(network: torch.nn.Module, layer: str, output: torch.Tensor) -> bool:
    parameters = list(network.get_submodule(layer).parameters(recurse=False))
    if output.grad_fn is None or not parameters:
        return False
    gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True, retain_graph=True)
    return any(each is not None for each in gradients)


def _traced(
    network: torch.nn.Module, run: Outputs
) -> tuple[dict[str, _Layer], tuple[torch.Tensor, torch.Tensor | None]]:
    """Name -> layer, in the order of their first calls; and the outputs."""
    layers: dict[str, _Layer] = {}
    names = {
        part: name
        for name, part in network.named_modules()
        if name and any(True for _ in part.parameters(recurse=False))
    }

    def record(module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        name = names[module]
        given, result = (_first_tensor(each) for each in ((args, kwargs), output))
        if name not in layers and given is not None and result is not None:
            is_whole = len(list(module.parameters())) == len(list(module.parameters(recurse=False)))
            layers[name] = _Layer(name, repr(module) if is_whole else type(module).__name__, is_whole, given, result)

    handles = [part.register_forward_hook(record, with_kwargs=True) for part in names]
    try:
        outputs = run()
    finally:
        for handle in handles:
            handle.remove()
    return layers, outputs


def _first_tensor(values: Any) -> torch.Tensor | None:
    """A copy, as ``[B, …]`` floats: what follows may change it in place."""
    for leaf in tree.flatten(values):
        if isinstance(leaf, torch.Tensor) and leaf.ndim > 0:
            return leaf.detach().clone().float()
    return None


def _first(way: list[_Pair], output: torch.Tensor, other: torch.Tensor, other_side: str) -> str | None:
    agreed: list[tuple[str, torch.Tensor]] = []
    before = "the observation"
    for pair in way:
        mine, its = pair.ours, pair.theirs
        if not same_numbers(mine.given, its.given):
            by_what = _by_what(agreed, mine.given, its.given, other_side)
            return f"they begin to differ between {before} and {pair.names}{by_what}"
        if not same_numbers(mine.result, its.result):
            what = f": {mine.kind} there, {its.kind} in the port" if mine.kind != its.kind else ""
            return f"they begin to differ in {pair.names}, which gets the same and gives something else{what}"
        agreed += [(f"what goes into {mine.name}", mine.given), (f"what comes out of {mine.name}", mine.result)]
        before = pair.names
    other = torch.where(other < MASKED, output.reshape(other.shape), other)
    if way and not same_numbers(output, other):
        return f"they begin to differ after {way[-1].names}{_by_what(agreed, output, other, other_side)}"
    return None


def _by_what(agreed: list[tuple[str, torch.Tensor]], ours: torch.Tensor, theirs: torch.Tensor, other_side: str) -> str:
    clause = (
        _of_functions(agreed, ours, theirs, other_side)
        or _of_each_other(ours, theirs, other_side)
        or _of_sums(agreed, ours, theirs, other_side)
    )
    return f": {clause}" if clause else ""


def _of_functions(
    agreed: list[tuple[str, torch.Tensor]], ours: torch.Tensor, theirs: torch.Tensor, other_side: str
) -> str | None:
    """Both are functions of one earlier tensor."""
    for _, earlier in reversed(agreed):
        if earlier.numel() != ours.numel() or earlier.numel() != theirs.numel():
            continue
        sides = [_function(earlier, side) for side in (ours, theirs)]
        if None not in sides:
            return f"{other_side} has {sides[0]} there, the port {sides[1]}"
    return None


def _function(of: torch.Tensor, result: torch.Tensor) -> str | None:
    chains = {name: [function] for name, function in FUNCTIONS.items()}
    chains |= {f"layer_norm and {name}": [_layer_norm, f] for name, f in FUNCTIONS.items() if name != "nothing"}
    chains |= {f"{name} and layer_norm": [f, _layer_norm] for name, f in FUNCTIONS.items() if name != "nothing"}
    chains["layer_norm"] = [_layer_norm]
    for name, chain in chains.items():
        value = of
        for function in chain:
            value = function(value)
        if same_numbers(value, result):
            return name
    return None


def _layer_norm(x: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:])


def _of_sums(
    agreed: list[tuple[str, torch.Tensor]], ours: torch.Tensor, theirs: torch.Tensor, other_side: str
) -> str | None:
    if ours.numel() != theirs.numel():
        return None
    for name, earlier in agreed:
        if earlier.numel() != ours.numel():
            continue
        for side, difference in (
            (other_side, ours - theirs.reshape(ours.shape)),
            ("the port", theirs - ours.reshape(theirs.shape)),
        ):
            for function in ("nothing", "tanh", "relu"):
                if same_numbers(difference, FUNCTIONS[function](earlier)):
                    return f"{side} adds {'' if function == 'nothing' else f'{function} of '}{name}"
    return None


def _of_each_other(ours: torch.Tensor, theirs: torch.Tensor, other_side: str) -> str | None:
    """How the port's numbers come from SB3's, entry by entry."""
    if len(ours) != len(theirs):
        return None
    x, y = (side.reshape(len(side), -1).double() for side in (ours, theirs))
    if x.shape != y.shape:
        return f"{other_side} has {x.shape[1]} numbers there, the port {y.shape[1]}"
    bound = SAME * max(1e-30, float(x.abs().max()))
    equal = ((x - y).abs() <= bound).all(0)
    zero = (y == 0).all(0) & (x != 0).any(0)
    if bool(zero.any()) and bool((equal | zero).all()):
        return f"{_entries(zero)} {'is' if int(zero.sum()) == 1 else 'are'} 0 in the port"
    factor = float((x * y).sum() / (x * x).sum().clamp(min=1e-30))
    if factor and bool(((y - factor * x).abs() <= abs(factor) * bound).all()):
        return f"the port's numbers are {factor:.4g} times {other_side}'s"
    order = order_of_columns(x, y)
    if order is not None:
        return f"the port has {other_side}'s numbers in another order, {_listed(order)}"
    left = y != 0
    if bool((~left).any()) and bool(left.any()):
        ratios = (y / torch.where(x == 0, torch.ones_like(x), x))[left & (x.abs() > bound)]
        if len(ratios) and bool((ratios - ratios.median()).abs().max() <= SAME * ratios.median().abs()):
            return f"{float((~left).double().mean()):.0%} of the port's numbers, here and there, are 0, as dropout leaves them"
    if bool(equal.any()):
        return f"{_entries(~equal)} {'differs' if int((~equal).sum()) == 1 else 'differ'}, the others are the same"
    for side, of, result in (("the port", ours, theirs), (other_side, theirs, ours)):
        name = _function(of, result)
        if name is not None:
            return f"{side} has {name} there besides"
    return None


def order_of_columns(x: torch.Tensor, y: torch.Tensor) -> list[int] | None:
    """Which column of ``x`` each column of ``y`` is, both ``[B, n]`` of doubles; None where they are not the same columns."""
    key = torch.randn(len(x), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    order = torch.empty(x.shape[1], dtype=torch.int64)
    order[(key @ y).argsort()] = (key @ x).argsort()
    return order.tolist() if same_numbers(x[:, order], y) else None


def _entries(which: torch.Tensor) -> str:
    places = which.nonzero().flatten().tolist()
    return f"{'entry' if len(places) == 1 else 'entries'} {_listed(places)} of {len(which)}"


def _listed(places: list[int]) -> str:
    return ", ".join(map(str, places[:LISTED])) + (", …" if len(places) > LISTED else "")


def same_numbers(a: torch.Tensor, b: torch.Tensor) -> bool:
    """But for what another order of summation makes of them; ``[B, …]``, in any shape of the rest."""
    if a.numel() != b.numel() or len(a) != len(b):
        return False
    a = a.float()
    return bool(((a - b.float().reshape(a.shape)).abs() <= SAME * max(1e-30, float(a.abs().max()))).all())
