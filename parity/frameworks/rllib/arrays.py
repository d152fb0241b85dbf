"""Between RLlib's columns (nested, tensors) and the ladder's arrays (flat names, NumPy)."""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.utils.torch_utils import convert_to_torch_tensor

from parity.frameworks.rllib.pettingzoo import OBSERVATIONS_KEY


def flat(columns: dict[str, Any] | tuple[Any, ...]) -> dict[str, np.ndarray]:
    """Columns nested in dicts and tuples as arrays by path, ``entry/entry``; lists (of infos, of ids) are left out.

    `parity.frameworks.network.nested` is the way back.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, column in columns.items() if isinstance(columns, dict) else enumerate(columns):
        if isinstance(column, dict | tuple):
            arrays |= {f"{name}/{key}": value for key, value in flat(column).items()}
        elif isinstance(column, torch.Tensor | np.ndarray):
            arrays[str(name)] = array(column)
    return arrays


def by_entry(observations: Any) -> dict[str, np.ndarray]:
    """Observations as arrays, by path of their entries; a plain one stands as ``observations``."""
    return flat(observations if isinstance(observations, dict | tuple) else {OBSERVATIONS_KEY: observations})


def array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def take(columns: Any, rows: np.ndarray) -> Any:
    """The given rows of a column, or of columns nested in dicts and tuples; ``rows``: int64 ``[n]``.

    Tensors stay on their device; a list is a column of any objects.
    """
    index = functools.cache(lambda device: torch.as_tensor(rows, device=device))

    def rows_of(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: rows_of(each) for name, each in part.items()}
        if isinstance(part, tuple):
            return tuple(map(rows_of, part))
        if isinstance(part, list):
            return [part[row] for row in rows]
        return part.index_select(0, index(part.device)) if isinstance(part, torch.Tensor) else part[rows]

    return rows_of(columns)


def mapped(function: Callable[[Any], Any], part: Any) -> Any:
    """``tree.map_structure`` over dicts and tuples, for what is called at every step: a tenth of its time."""
    kind = type(part)
    if kind is dict:
        return {name: mapped(function, each) for name, each in part.items()}
    if kind is tuple:
        return tuple([mapped(function, each) for each in part])
    if isinstance(part, dict | tuple | list):
        return tree.map_structure(function, part)
    return function(part)


def by_agent(columns: dict[str, list[dict[Any, Any]]], index: int) -> dict[Any, dict[str, Any]]:
    """What the module-to-env pipeline gives one sub-environment, as an episode takes it: agent -> column -> value."""
    values: dict[Any, dict[str, Any]] = defaultdict(dict)
    for column, of_envs in columns.items():
        for agent, value in of_envs[index].items():
            values[agent][column] = value
    return dict(values)


def stack(observations: list[Any]) -> Any:
    """Observations as environments give them, stacked and typed as RLlib delivers them to modules."""
    stacked = tree.map_structure(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *observations)
    return convert_to_torch_tensor(stacked)


def handed_over(action: Any) -> Any:
    """An action in the types in which RLlib hands it to an environment: int64 as int32 (``convert_to_numpy``, ray 2.60.0)."""

    def reduced(part: Any) -> Any:
        part = np.asarray(part)
        # An index with nothing in it makes a scalar of an array without axes.
        return (part.astype(np.int32) if part.dtype == np.int64 else part)[()]

    return tree.map_structure(reduced, action)


def named_parameters(module: Any) -> dict[str, torch.nn.Parameter]:
    """A module's parameters by name; none for an RLModule that is no ``torch.nn.Module``, such as RandomRLModule."""
    return dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}


def device_of(module: Any) -> torch.device:
    """Where a module's parameters are; the CPU for one without parameters."""
    return next((p.device for p in named_parameters(module).values()), torch.device("cpu"))


def duplicate(module: Any) -> Any:
    """A deep copy of a module. Tensors that it has computed and kept, such as its last values, are copied without their graph.

    ``copy.deepcopy`` alone refuses tensors with a graph; it takes copies that stand in its memo.
    """
    attributes = [vars(part) for part in module.modules()] if isinstance(module, torch.nn.Module) else []
    return copy.deepcopy(module, {id(each): each.detach().clone() for each in _computed(attributes)})


def _computed(value: Any) -> Iterator[torch.Tensor]:
    """The tensors with a graph in ``value``, a container of anything."""
    if isinstance(value, torch.Tensor):
        if not value.is_leaf:
            yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _computed(each)


def parameters(module: Any) -> dict[str, np.ndarray]:
    """Copies of all parameters, by name."""
    return {name: array(parameter).copy() for name, parameter in named_parameters(module).items()}


def probability(distribution: Any) -> torch.Tensor:
    """float ``[B, n_logits]``: of each option of each sub-action.

    Raises:
        TypeError: the distribution is none of RLlib's categorical ones and has no ``probabilities``.
    """
    if hasattr(distribution, "probabilities"):
        return distribution.probabilities
    inner = getattr(distribution, "_dist", None)
    if inner is not None and hasattr(inner, "probs"):
        return inner.probs
    parts = getattr(distribution, "_cats", None) or getattr(distribution, "cats", None)
    if parts is None:
        raise TypeError(f"the probabilities of {type(distribution).__name__} cannot be read")
    return torch.cat([probability(part) for part in parts], dim=-1)
