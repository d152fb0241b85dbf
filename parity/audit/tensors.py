"""Looks at tensors that need PyTorch, for both frameworks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

# Objects of these hold no network of the user's.
_OTHERS = ("builtins", "functools", "gymnasium", "numpy", "ray", "stable_baselines3")


def norms(gradients: Mapping[str, torch.Tensor | None]) -> dict[str, float]:
    """The norm of each that is there; one reading from the device for all."""
    there = {name: g for name, g in gradients.items() if g is not None and g.layout is torch.strided}
    if not there:
        return {}
    return dict(zip(there, _read(torch._foreach_norm(list(there.values()))), strict=True))


def largest_changes(parameters: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """The largest change of each parameter since it was copied."""
    both = [name for name in before if name in parameters and before[name].numel()]
    if not both:
        return {}
    changes = torch._foreach_sub([parameters[name].detach() for name in both], [before[name] for name in both])
    return dict(zip(both, _read(torch._foreach_norm(changes, float("inf"))), strict=True))


def _read(numbers: Sequence[torch.Tensor]) -> list[float]:
    same = len({each.dtype for each in numbers}) == 1
    return torch.stack(list(numbers) if same else [each.float() for each in numbers]).tolist()


def tensors_of(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Leaves that want a gradient: registered parameters, and what hides in lists, dicts and objects of the module."""
    seen: set[int] = set()

    def walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
        if depth < 0 or id(value) in seen:
            return
        if isinstance(value, torch.Tensor):
            if value.is_leaf and value.requires_grad:
                seen.add(id(value))
                yield path, value
            return
        if isinstance(value, dict | list | tuple):
            items = list(value.items() if isinstance(value, dict) else enumerate(value))
        elif isinstance(value, torch.nn.Module) or _may_hold(value):
            items = list(vars(value).items())
        else:
            return
        seen.add(id(value))
        for key, each in items:
            inner = isinstance(value, torch.nn.Module) and key in ("_parameters", "_modules")
            yield from walk(each, path if inner else f"{path}.{key}".removeprefix("."), depth - 1)

    yield from walk(module, "", 12)


def _may_hold(value: Any) -> bool:
    known = type(value).__module__.partition(".")[0] in _OTHERS
    return hasattr(value, "__dict__") and not isinstance(value, type | torch.optim.Optimizer) and not known
