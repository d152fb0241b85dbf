"""Layers of two networks that get the same numbers in another order, as features are put together or flattened otherwise.

Such networks are one but for the order of some columns of their weights. SB3's layer is then made to take its inputs in the
port's order: it computes what it did, and its weights, gradients and steps stand as the port's do.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch

from parity.capture.first_difference import order_of_columns, same_numbers
from parity.capture.pairing import Network
from parity.capture.unit_weights import unit_weights


def input_orders(ours: Network, theirs: Network, pairs: Mapping[str, str]) -> dict[str, list[int]]:
    """Where paired layers get the same numbers in another order: our weight's name -> our column of each of theirs.

    Args:
        ours, theirs: on the same observations; their weights are changed, and the orders found are those of ``ours`` now.
        pairs: our parameter -> theirs.

    Returns:
        Empty where a layer gets other numbers, or none gets them in another order.
    """
    values = unit_weights(ours.module, ours.outputs, tied=False)
    theirs.load({other: values[name] for name, other in pairs.items()})
    orders: dict[str, list[int]] = {}
    while True:
        mine, its = _inputs(ours), _inputs(theirs)
        both = ((name, mine[name], its[pairs[name]]) for name in mine if pairs.get(name) in its)
        differing = next((each for each in both if not same_numbers(each[1], each[2])), None)
        if differing is None:
            return orders
        name, given, given_to_theirs = differing
        order = order_of_columns(given, given_to_theirs) if given.shape == given_to_theirs.shape else None
        if order is None or name in orders:
            return {}
        orders[name] = order
        take_inputs_in_order(ours.module, {name: order})
        theirs.load({pairs[name]: ours.module.get_parameter(name).detach()})


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


def _inputs(network: Network) -> dict[str, torch.Tensor]:
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

    handles = [
        layer.register_forward_hook(functools.partial(record, name))
        for name, layer in network.module.named_modules()
        if (weight := dict(layer.named_parameters(recurse=False)).get("weight")) is not None and weight.ndim == 2
    ]
    try:
        with torch.no_grad():
            network.outputs()
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(calls).double() for name, calls in seen.items()}
