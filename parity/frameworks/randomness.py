"""Evaluation must neither depend on training's random state nor disturb it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """The global generators of Python, NumPy and torch are afterwards as they were before.

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
    """The same generators inside ``with`` as functions of ``seed`` and ``draw``; restored after."""
    with undisturbed():
        state = (seed << 24) + draw if draw else seed
        random.seed(state)
        np.random.seed([seed, draw])
        torch.manual_seed(state)
        yield


class PolicyGenerator:
    """The global generators inside ``with``, as functions of a seed and the number of draws so far; restored after."""

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
