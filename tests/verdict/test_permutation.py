"""The stratified permutation test against SciPy, against counting by hand, and its size."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from parity.verdict import permutation
from parity.verdict.permutation import permutation_test


def test_one_task_is_scipys_permutation_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=5), rng.normal(-0.8, 1, size=4)
    expected = stats.permutation_test((b, a), lambda x, y: abs(x.mean() - y.mean()), alternative="greater").pvalue
    assert permutation_test([a], [b]).p == pytest.approx(expected)


def test_runs_are_dealt_within_their_task_only() -> None:
    """Tasks on different levels: dealing across them would drown the difference in that of the levels."""
    rng = np.random.default_rng(1)
    tasks = [(level + rng.normal(0, 0.1, 3), level - 0.5 + rng.normal(0, 0.1, 3)) for level in (0.0, 10.0)]
    sums = []
    for deal in product(*(list(combinations(range(6), 3)) for _ in tasks)):
        parts = [
            (np.concatenate(cell), np.isin(np.arange(6), chosen)) for cell, chosen in zip(tasks, deal, strict=True)
        ]
        sums.append(sum(both[mask].mean() - both[~mask].mean() for both, mask in parts))
    seen = sum(b.mean() - a.mean() for a, b in tasks)
    found = permutation_test(*zip(*tasks, strict=True))  # type: ignore[arg-type]
    assert found.exact
    assert found.p == pytest.approx(np.mean(np.abs(sums) >= abs(seen) - 1e-12)) == pytest.approx(2 / 400)


def test_four_tasks_of_five_seeds_are_counted_exactly_and_a_sample_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(4, 5)), rng.normal(-0.5, 1, size=(4, 5))
    exact = permutation_test(a, b)
    assert exact.exact
    monkeypatch.setattr(permutation, "MOST_SUMS", 10)
    sample = permutation_test(a, b)
    assert not sample.exact
    assert sample.p == pytest.approx(exact.p, abs=4 * math.sqrt(exact.p / permutation.RESAMPLES))
    assert permutation_test(a, b) == sample


def test_size_is_at_most_five_percent_whatever_the_distribution() -> None:
    """Lognormal runs on two tasks of very different scale, no difference."""
    rng = np.random.default_rng(4)
    scale = np.array([[1.0], [5.0]])
    p = [
        permutation_test(scale * rng.lognormal(size=(2, 4)), scale * rng.lognormal(size=(2, 4))).p for _ in range(2000)
    ]
    assert 0.03 < np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_limits() -> None:
    assert permutation_test([[1.0] * 3], [[1.0] * 3]).p == 1.0
    assert permutation_test([[1.0, 1.1, 1.2]], [[0.1, 0.2, 0.3]]).p == pytest.approx(0.1)
    for a, b in (([], []), ([[]], [[1.0]]), ([[1.0, math.nan]], [[1.0, 2.0]])):
        assert math.isnan(permutation_test(a, b).p)
