"""What RLlib logs again and again and keeps the last values of, logged once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import tree

# Of a window's values these keep the last ones as they are until somebody looks.
_OF_WINDOWS = (None, "mean", "min", "max")


class LastLogged:
    """Stands for a ``MetricsLogger``: of a key with a window only the values that stay in it are given to it.

    Whole numbers that are summed are given to it as their sum. Everything else goes to it at once, and whatever else of it
    is asked for, it is given all that waited before, so that no reader sees a difference.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._waiting: dict[Hashable, Callable[[], Any]] = {}
        self._windows: dict[tuple[Any, ...], tuple[deque[Any], dict[str, Any]]] = {}
        self._sums: dict[Hashable, tuple[int, dict[str, Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        if "_sums" not in vars(self):  # a copy that is being made
            raise AttributeError(name)
        self.flush()
        return getattr(self._logger, name)

    def __contains__(self, key: Any) -> bool:
        self.flush()
        return key in self._logger

    def later(self, what: Hashable, log: Callable[[], Any]) -> None:
        """Calls ``log`` before anybody looks, unless the same thing is logged once more until then."""
        self._waiting[what] = log

    def log_value(self, key: Any, value: Any, **how: Any) -> None:
        if _has_window(how):
            self._keep(key if isinstance(key, tuple) else (key,), value, how)
        elif how.get("reduce") in ("sum", "lifetime_sum") and type(value) is int:
            # The first goes through: RLlib measures throughput from there.
            if key not in self._sums:
                self._sums[key] = (0, how)
                self._logger.log_value(key, value, **how)
            else:
                self._sums[key] = (self._sums[key][0] + value, how)
        else:
            self._logger.log_value(key, value, **how)

    def log_dict(self, value_dict: dict[Any, Any], *, key: Any = None, **how: Any) -> None:
        if _has_window(how):
            self._keep(() if key is None else key if isinstance(key, tuple) else (key,), value_dict, how)
        else:
            self._logger.log_dict(value_dict, key=key, **how)

    def _keep(self, path: tuple[Any, ...], value: Any, how: dict[str, Any]) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                self._keep((*path, name), part, how)
            return
        if path not in self._windows:
            self._windows[path] = (deque(maxlen=how["window"]), how)
        # Without the graph, which would be kept until the value is logged.
        self._windows[path][0].append(value.detach() if isinstance(value, torch.Tensor) else value)

    def flush(self) -> None:
        while self._waiting:
            self._waiting.pop(next(iter(self._waiting)))()
        for path, (values, how) in self._windows.items():
            self._logger.log_value(path, values.popleft(), **how)
            stats = self._logger.stats
            for name in tree.flatten(path):
                stats = stats[name]
            for value in values:
                stats.push(value)
        self._windows = {}
        for key, (value, how) in self._sums.items():
            if value:
                self._logger.log_value(key, value, **how)
        self._sums = {}


@contextmanager
def last_logged(owner: Any) -> Iterator[None]:
    """Gives a learner or an env runner a `LastLogged` in place of its logger."""
    logger = owner.metrics
    owner.metrics = LastLogged(logger)
    try:
        yield
    finally:
        owner.metrics.flush()
        owner.metrics = logger


def _has_window(how: dict[str, Any]) -> bool:
    return (
        isinstance(how.get("window"), int) and how.keys() <= {"window", "reduce"} and how.get("reduce") in _OF_WINDOWS
    )
