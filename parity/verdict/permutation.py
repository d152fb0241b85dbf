"""Could these differences come from labels dealt at random? A permutation test that is stratified by task.

Assumes nothing about how runs are distributed; runs are dealt to the two frameworks within their task only. It gates
nothing: it tests for a difference, and cannot show equivalence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from parity.verdict.statistics import Floats

# Sums held at once for an exact answer: 8 MiB. Enough for 4 tasks of 5 seeds, or 2 of 10.
MOST_SUMS = 1 << 20
RESAMPLES = 20_000


@dataclass(frozen=True)
class PermutationTest:
    """``p`` of the mean difference over tasks; ``exact``: all permutations were counted, not a sample of them."""

    p: float
    exact: bool


def permutation_test(
    reference: Sequence[ArrayLike],
    port: Sequence[ArrayLike],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PermutationTest:
    """Two-sided p-value of the mean over tasks of ``mean(port) - mean(reference)``; one ``[n]`` of scores per task and arm.

    Exact where all permutations of each half of the tasks number at most ``MOST_SUMS``: sums of one half are looked up among
    the sorted sums of the other. Else ``resamples`` random ones with ``seed`` and ``p = (b + 1) / (m + 1)``, which is never
    0. With three runs an arm on one task no p is below 0.1. NaN without tasks, for an arm without runs, and where a run is
    NaN.

    Source: Fisher 1935; Phipson and Smyth 2010 for the resampled p; for one task ``scipy.stats.permutation_test``.
    """
    cells = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(reference, port, strict=True)]
    runs = [value for cell in cells for arm in cell for value in arm]
    if not cells or any(arm.size == 0 for cell in cells for arm in cell) or np.isnan(runs).any():
        return PermutationTest(math.nan, exact=False)
    observed = sum(float(b.mean() - a.mean()) for a, b in cells)
    # Sums of the same runs in another order differ in the last bits; they are ties.
    slack = 1e-12 * max(1.0, float(np.abs(runs).max()) * len(cells))
    halves = _halves([math.comb(a.size + b.size, b.size) for a, b in cells])
    # Every sum of the left is added to every sum of the right.
    if halves is not None:
        left, right = (_all_sums([cells[index] for index in half]) for half in halves)
    else:
        left, right = _random_sums(cells, resamples, np.random.default_rng(seed)), np.zeros(1)
    right.sort()
    total, extra = left.size * right.size, 0 if halves is not None else 1

    as_low = int(np.searchsorted(right, slack - abs(observed) - left, side="right").sum())
    as_high = total - int(np.searchsorted(right, abs(observed) - slack - left, side="left").sum())
    return PermutationTest(min((as_low + as_high + extra) / (total + extra), 1.0), exact=halves is not None)


def _halves(counts: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Tasks in two groups, so that the permutations of each group are few enough; None where they are not."""
    groups: tuple[list[int], list[int]] = ([], [])
    products = [1, 1]
    for index in sorted(range(len(counts)), key=lambda i: -counts[i]):
        group = products.index(min(products))
        groups[group].append(index)
        products[group] *= counts[index]
    return groups if max(products) <= MOST_SUMS else None


def _all_sums(cells: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Sum over ``cells`` of the difference of means, for all permutations."""
    sums = np.zeros(1)
    for a, b in cells:
        both = np.concatenate([a, b])
        chosen = np.array(list(combinations(range(both.size), b.size)))
        sums = np.add.outer(sums, _difference(both[chosen].sum(axis=1), both, a.size, b.size)).ravel()
    return sums


def _random_sums(cells: Sequence[tuple[Floats, Floats]], resamples: int, rng: np.random.Generator) -> Floats:
    sums = np.zeros(resamples)
    for a, b in cells:
        both = np.concatenate([a, b])
        dealt = rng.permuted(np.tile(both, (resamples, 1)), axis=1)[:, : b.size]
        sums += _difference(dealt.sum(axis=1), both, a.size, b.size)
    return sums


def _difference(sum_b: Floats, both: Floats, n_a: int, n_b: int) -> Floats:
    return sum_b / n_b - (both.sum() - sum_b) / n_a
