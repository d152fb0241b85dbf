"""Makes the calls that one environment got once more on another: does it return the same?"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from parity.errors import in_short
from parity.frameworks.rllib.env_tap import Call, EnvReader

# What ignores its seed, or is changed by somebody, parts at once or after a few steps.
CALLS = 40
# What `reset` and `step` return, as far as it is compared.
PARTS = {"reset": ("observations",), "step": ("observations", "rewards", "ends", "ends")}


class FirstCalls(EnvReader):
    """Copies of an environment's first calls, their results without infos."""

    def __init__(self, most: int = CALLS) -> None:
        self.calls: list[Call] = []
        self._most = most

    def before(self, call: Call) -> None:
        self._arguments = copy.deepcopy(call.arguments) if len(self.calls) < self._most else ((), {})

    def after(self, call: Call) -> None:
        if len(self.calls) < self._most:
            # Results that are no tuples are reported by `EnvContractReader`.
            compared = call.result[: len(PARTS[call.method])] if isinstance(call.result, tuple) else ()
            self.calls.append(Call(call.method, self._arguments, copy.deepcopy(compared)))


def first_difference(env: Any, calls: list[Call]) -> str | None:
    """Where ``env``, which must be new, returns something else; None if nowhere, or if the first call gave no seed.

    The same environment cannot repeat itself: it may keep running statistics, or whose turn it is, over its episodes.
    ``env`` is closed at the end.
    """
    seeded = bool(calls) and calls[0].seed is not None
    try:
        for i, call in enumerate(calls if seeded else []):
            positional, named = copy.deepcopy(call.arguments)
            place = f"call {i + 1} ({call.method})"
            try:
                result = getattr(env, call.method)(*positional, **named)
            except Exception as error:
                return f"{place}: the second time it raised {in_short(error)}"
            for name, ours, theirs in zip(PARTS[call.method], result, call.result, strict=False):
                if not same(ours, theirs):
                    return f"{name}, {place}"
    finally:
        env.close()
    return None


def first_episode(calls: list[Call]) -> list[Call]:
    """The calls before the first reset without a seed."""
    later = (i for i, call in enumerate(calls) if call.method == "reset" and call.seed is None)
    return calls[: next(later, len(calls))]


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
