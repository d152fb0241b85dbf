"""What RLlib logs at every minibatch and keeps of the last one only, logged once an update."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class LastLogged:
    """Stands for a ``MetricsLogger`` that keeps one value of a key (``window=1``): only the last is given to it.

    Whole numbers that are summed are given to it as their sum. Everything else goes to it at once, and whatever else of it
    is asked for, it is given all that waited before, so that no reader sees a difference.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._waiting: dict[Hashable, Callable[[], Any]] = {}
        self._sums: dict[Hashable, tuple[int, dict[str, Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self._logger, name)

    def __contains__(self, key: Any) -> bool:
        self.flush()
        return key in self._logger

    def later(self, what: Hashable, log: Callable[[], Any]) -> None:
        """Calls ``log`` before anybody looks, unless the same thing is logged once more until then."""
        self._waiting[what] = log

    def log_value(self, key: Any, value: Any, **how: Any) -> None:
        if how == {"window": 1}:
            value = _detached(value)
            self.later(("value", key), lambda: self._logger.log_value(key, value, **how))
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
        if how == {"window": 1}:
            values = {name: _detached(value) for name, value in value_dict.items()}
            self.later(("dict", key, *values), lambda: self._logger.log_dict(values, key=key, **how))
        else:
            self._logger.log_dict(value_dict, key=key, **how)

    def flush(self) -> None:
        while self._waiting:
            self._waiting.pop(next(iter(self._waiting)))()
        for key, (value, how) in self._sums.items():
            if value:
                self._logger.log_value(key, value, **how)
        self._sums = {}


@contextmanager
def last_logged(learner: Any) -> Iterator[None]:
    """Gives a learner a `LastLogged` in place of its logger."""
    logger = learner.metrics
    learner.metrics = LastLogged(logger)
    try:
        yield
    finally:
        learner.metrics.flush()
        learner.metrics = logger


def _detached(value: Any) -> Any:
    """Without the graph, which would be kept until the value is logged."""
    return value.detach() if isinstance(value, torch.Tensor) else value
