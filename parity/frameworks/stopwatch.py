"""Measures the seconds spent in chosen methods of an object, by wrapping them on the instance."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any


class Stopwatch:
    """Adds up wall-clock seconds by label.

    Args:
        synchronize: called before each reading of the clock; on a GPU it waits for the kernels that were launched.
    """

    def __init__(self, synchronize: Callable[[], None] | None = None) -> None:
        self._synchronize = synchronize or (lambda: None)
        self._seconds: dict[str, float] = defaultdict(float)

    def now(self) -> float:
        self._synchronize()
        return time.perf_counter()

    def watch(self, owner: Any, method: str, label: str) -> None:
        """Counts every call of ``owner.method`` under ``label`` from now on."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.now()
            try:
                return original(*args, **kwargs)
            finally:
                self._seconds[label] += self.now() - start

        setattr(owner, method, timed)

    @contextlib.contextmanager
    def not_counted(self, label: str) -> Iterator[None]:
        """What runs inside, within a call that is watched, is no part of it."""
        start = self.now()
        try:
            yield
        finally:
            self._seconds[label] -= self.now() - start

    def take(self, label: str) -> float:
        """Seconds since the last ``take`` of this label."""
        return self._seconds.pop(label, 0.0)
