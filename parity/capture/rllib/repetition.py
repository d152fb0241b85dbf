"""Whether another environment does what one did: calls of ``reset`` and ``step`` are noted, and made once more."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.errors import one_line

# What ignores its seed, or is changed by somebody, parts at once or after a few steps.
CALLS = 40
# What `reset` and `step` return, as far as it is compared.
PARTS = {"reset": ("observations",), "step": ("observations", "rewards", "ends", "ends")}


@dataclasses.dataclass(frozen=True)
class Call:
    """``answer``: a copy of what it returned, without infos."""

    method: str
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    answer: tuple[Any, ...]


def note_calls(env: Any) -> list[Call]:
    """The environment's first calls from now on; it stays what it is."""
    calls: list[Call] = []

    def noting(method: str) -> Any:
        own = getattr(env, method)

        @functools.wraps(own)
        def noted(*positional: Any, **named: Any) -> Any:
            arguments = (copy.deepcopy(positional), copy.deepcopy(named)) if len(calls) < CALLS else ((), {})
            result = own(*positional, **named)
            if len(calls) < CALLS:
                # What is no tuple is told elsewhere.
                answer = result[: len(PARTS[method])] if isinstance(result, tuple) else ()
                calls.append(Call(method, arguments, copy.deepcopy(answer)))
            return result

        return noted

    env.reset, env.step = noting("reset"), noting("step")
    return calls


def first_difference(env: Any, calls: list[Call]) -> str | None:
    """Where ``env``, which nobody has played, answers otherwise; None if nowhere, or if no seed was given. It is closed then.

    Another environment, as one may keep something over its episodes: running statistics, whose turn it is.
    """
    seeded = bool(calls) and calls[0].arguments[1].get("seed") is not None
    try:
        for i, call in enumerate(calls if seeded else []):
            positional, named = copy.deepcopy(call.arguments)
            place = f"call {i + 1} ({call.method})"
            try:
                answer = getattr(env, call.method)(*positional, **named)
            except Exception as error:
                return f"{place}: the second time it raised {type(error).__name__}: {one_line(error)}"
            for name, ours, theirs in zip(PARTS[call.method], answer, call.answer, strict=False):
                if not same(ours, theirs):
                    return f"{name}, {place}"
    finally:
        env.close()
    return None


def same(a: Any, b: Any) -> bool:
    """Whether two nests hold equal numbers, NaN included; what is no number is not looked at."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(itertools.starmap(same, zip(a, b, strict=True)))
    ours, theirs = np.asarray(a), np.asarray(b)
    if ours.dtype.kind not in "biuf" or theirs.dtype.kind not in "biuf":
        return True
    return np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f" and theirs.dtype.kind == "f")
