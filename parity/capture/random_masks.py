"""Masks that no environment need ever show, with one legal option in every second row and several in the others; actions."""

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


def drawn_actions(mask: np.ndarray, sizes: list[int]) -> np.ndarray:
    """int64 ``[rows, k]``: of each sub-action a legal option, uniformly."""
    generator = np.random.default_rng(0)
    keys = np.where(mask, generator.random(mask.shape), -1.0)
    starts = np.cumsum([0, *sizes[:-1]])
    return np.stack([keys[:, s : s + size].argmax(axis=1) for s, size in zip(starts, sizes, strict=True)], axis=1)
