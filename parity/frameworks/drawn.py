"""Masks that no environment need ever show: one legal option in every second row, several in the others."""

from __future__ import annotations

import numpy as np


def drawn_masks(sizes: list[int], rows: int) -> np.ndarray:
    """bool ``[rows, sum(sizes)]``, at least one option of each sub-action legal; ``sizes``: options of each sub-action."""
    mask = np.zeros((rows, sum(sizes)), dtype=bool)
    generator = np.random.default_rng(0)
    for row in range(rows):
        for start, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
            legal = generator.permutation(size)[: 1 if row % 2 else 1 + generator.integers(size)]
            mask[row, start + legal] = True
    return mask
