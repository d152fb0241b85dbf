"""Layers of two networks that get the same numbers in another order, as features are put together or flattened otherwise.

Such networks are one but for the order of some columns of their weights. SB3's layer is then made to take its inputs in the
port's order: it computes what it did, and its weights, gradients and steps stand as the port's do.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from parity.capture.first_difference import order_of_columns, same_numbers
from parity.capture.pairing import Network
from parity.capture.unit_weights import of_size, random_values, unit_weights

# Sets of weights: a ReLU that is 0 on all observations with one of them is not with all.
DRAWS = 12


def input_orders(ours: Network, theirs: Network, pairs: Mapping[str, str]) -> dict[str, list[int]]:
    """Where paired layers get the same numbers in another order: our weight's name -> our column of each of theirs.

    Args:
        ours, theirs: on the same observations; their weights are changed.
        pairs: our parameter -> theirs.

    Returns:
        Empty where a layer gets other numbers, or none gets them in another order.
    """
    sizes = unit_weights(ours.module, ours.outputs, tied=False)
    draws = [
        {
            name: of_size(random_values(sizes[name].shape, 100 * draw + place), sizes[name])
            for place, name in enumerate(pairs)
        }
        for draw in range(1, DRAWS + 1)
    ]
    mine = _inputs(ours, draws)
    orders: dict[str, list[int]] = {}

    def in_order(numbers: torch.Tensor, name: str) -> torch.Tensor:
        return numbers[:, orders[name]] if name in orders else numbers

    while True:
        its = _inputs(
            theirs, [{pairs[name]: in_order(each, name) for name, each in values.items()} for values in draws]
        )
        both = [(name, in_order(mine[name], name), its[pairs[name]]) for name in mine if pairs.get(name) in its]
        differing = [each for each in both if not same_numbers(each[1], each[2])]
        if not differing:
            return orders
        name, given, given_to_theirs = differing[0]
        order = order_of_columns(given, given_to_theirs) if given.shape == given_to_theirs.shape else None
        if order is None or name in orders:
            return {}
        orders[name] = order


def take_inputs_in_order(network: torch.nn.Module, orders: Mapping[str, list[int]]) -> None:
    """Reorders columns of weights and, before their layers, what goes in: the network computes what it did.

    Args:
        orders: name of a weight ``[out, in]`` -> which of its columns comes first, second and so on.
    """
    for name, order in orders.items():
        weight = network.get_parameter(name)
        with torch.no_grad():
            weight.copy_(weight[:, order])
        layer = network.get_submodule(name.rpartition(".")[0])
        layer.register_forward_pre_hook(functools.partial(_in_order, order))


def _in_order(order: list[int], layer: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0][..., order], *args[1:])


def _inputs(network: Network, draws: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Weight's name -> what its layer gets in all calls, ``[rows, in]``, in the order of first calls."""
    seen: dict[str, list[torch.Tensor]] = {}

    def record(name: str, layer: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        weight = layer.get_parameter("weight")
        if args and isinstance(args[0], torch.Tensor) and args[0].shape[-1:] == weight.shape[1:]:
            given = args[0].detach().reshape(-1, weight.shape[1])
            calls = seen.setdefault(f"{name}.weight", [])
            # A module may be run once for actions and once more, on the same observations, for values.
            if not (calls and torch.equal(calls[-1], given)):
                calls.append(given.clone())

    with contextlib.ExitStack() as hooks, torch.no_grad():
        for name, layer in network.module.named_modules():
            weight = dict(layer.named_parameters(recurse=False)).get("weight")
            if weight is not None and weight.ndim == 2:
                hooks.callback(layer.register_forward_hook(functools.partial(record, name)).remove)
        for values in draws:
            network.load(values)
            network.outputs()
    return {name: torch.cat(calls).double() for name, calls in seen.items()}
