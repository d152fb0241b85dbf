"""Random masks, with one legal option in every second row and several in the others, and legal actions."""

from __future__ import annotations

import numpy as np

from parity.task.masks import branch_columns, split_by_branch


def random_masks(sizes: list[int], rows: int) -> np.ndarray:
    """bool ``[rows, sum(sizes)]``, at least one option of each sub-action legal; ``sizes``: options of each sub-action."""
    mask = np.zeros((rows, sum(sizes)), dtype=bool)
    generator = np.random.default_rng(0)
    for row in range(rows):
        for columns, size in zip(branch_columns(sizes), sizes, strict=True):
            legal = generator.permutation(size)[: 1 if row % 2 else 1 + generator.integers(size)]
            mask[row, columns][legal] = True
    return mask


def random_actions(mask: np.ndarray, sizes: list[int]) -> np.ndarray:
    """int64 ``[rows, k]``: of each sub-action a legal option, uniformly."""
    generator = np.random.default_rng(0)
    keys = np.where(mask, generator.random(mask.shape), -1.0)
    return np.stack([branch.argmax(axis=1) for branch in split_by_branch(keys, sizes)], axis=1)
