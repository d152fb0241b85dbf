"""Evaluation must neither depend on training's random state nor disturb it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class PolicyGenerator:
    """torch's global generators inside ``with``, as functions of a seed and the number of draws so far; restored after."""

    def __init__(self) -> None:
        self._seed = 0
        self._draws = 0

    def seed(self, seed: int) -> None:
        self._seed, self._draws = seed, 0

    @contextmanager
    def drawing(self) -> Iterator[None]:
        with torch.random.fork_rng():
            torch.manual_seed((self._seed << 24) + self._draws)
            self._draws += 1
            yield
