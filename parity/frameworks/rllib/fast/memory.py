"""New tensors without NaN in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils import deterministic


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
