"""Keeps evaluation from depending on the random state of training and from disturbing it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restores the global generators of Python, NumPy and torch at the end of the ``with`` block.

    RLlib's env runners seed all of them when they are built, and environments may draw from them.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)


@contextmanager
def seeded(seed: int, draw: int = 0) -> Iterator[None]:
    """Seeds these generators from ``seed`` and ``draw`` inside the ``with`` block, and restores them at its end."""
    with undisturbed():
        state = (seed << 24) + draw if draw else seed
        random.seed(state)
        np.random.seed([seed, draw])
        torch.manual_seed(state)
        yield


class PolicyGenerator:
    """Seeds the global generators inside ``drawing()`` from a seed and the number of earlier ``drawing()`` blocks."""

    def __init__(self) -> None:
        self._seed = 0
        self._draws = 0

    def seed(self, seed: int) -> None:
        self._seed, self._draws = seed, 0

    @contextmanager
    def drawing(self) -> Iterator[None]:
        self._draws += 1
        with seeded(self._seed, self._draws):
            yield
