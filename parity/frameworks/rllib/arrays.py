"""Between RLlib's columns (nested, tensors) and the ladder's arrays (flat names, NumPy)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.utils.torch_utils import convert_to_torch_tensor


def flat(columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """Nested columns of arrays as paths; lists of odd things (infos, ids) are left out."""
    found: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        if isinstance(column, dict):
            found |= {f"{name}/{key}": value for key, value in flat(column).items()}
        elif isinstance(column, torch.Tensor | np.ndarray):
            found[str(name)] = array(column)
    return found


def array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def take(column: Any, rows: np.ndarray) -> Any:
    """The given rows of a column, nested ones included."""
    index = torch.as_tensor(rows)
    return tree.map_structure(lambda leaf: leaf[index.to(leaf.device)], column)


def stack(observations: list[Any]) -> Any:
    """Observations as environments give them, stacked and typed as RLlib delivers them to modules."""
    stacked = tree.map_structure(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *observations)
    return convert_to_torch_tensor(stacked)


def named_parameters(module: Any) -> dict[str, torch.nn.Parameter]:
    """By name; none of an RLModule that is no ``torch.nn.Module``, as RLlib's RandomRLModule."""
    return dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}


def duplicate(module: Any) -> Any:
    """A copy of a module that shares nothing with it; of results that it keeps, such as its last values, the numbers alone."""
    found: dict[int, Any] = {}
    for part in module.modules() if isinstance(module, torch.nn.Module) else ():
        _results(vars(part), found)
    return copy.deepcopy(module, found)


def _results(value: Any, found: dict[int, Any]) -> None:
    """Copies of the tensors in ``value`` that were computed, by the id of the original: ``deepcopy`` refuses these."""
    if isinstance(value, torch.Tensor):
        if not value.is_leaf:
            found[id(value)] = value.detach().clone()
    elif isinstance(value, dict):
        for each in value.values():
            _results(each, found)
    elif isinstance(value, list | tuple):
        for each in value:
            _results(each, found)


def parameters(module: Any) -> dict[str, np.ndarray]:
    """Copies of all parameters, by name."""
    return {name: array(parameter).copy() for name, parameter in named_parameters(module).items()}


def probability(distribution: Any) -> torch.Tensor:
    """float ``[B, n_logits]``: of each option of each sub-action.

    Raises:
        TypeError: the distribution is none of RLlib's categorical ones and does not say.
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
