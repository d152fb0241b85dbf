"""What Python and PyTorch do with memory beside the work, done less often."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils import deterministic

_NEW_CONTAINERS = 20_000


@contextmanager
def unfilled() -> Iterator[None]:
    """Inside, PyTorch does not write into memory that is about to be written.

    A ``seed`` has RLlib turn on ``torch.use_deterministic_algorithms``, which fills every new tensor first; that takes 5 % of
    a training. Only what reads memory that was never written computes anything else with it.
    """
    before = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        deterministic.fill_uninitialized_memory = before  # type: ignore[attr-defined]


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Inside, Python looks for cycles of objects after 20,000 new containers in place of 700.

    All steps of a rollout are kept until it ends. Python takes them for a growing heap and keeps searching all of Ray's and
    PyTorch's objects, which takes 4 % of a training of `tiles`.
    """
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(before[0], _NEW_CONTAINERS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
