"""Does the port learn as well on the whole? The difference averaged over the tasks of a study, and its interval.

Several tasks of five seeds decide what one task of five cannot. The statement is about the mean over these very tasks,
each with the same weight: it is none about tasks that were not run, and a task can be worse while the mean is not.
Arrays are ``[..., tasks, n]`` in normalised score, one number per run, leading axes for simulated studies; the arms may
differ in ``n``. A NaN among the runs of a study makes its results NaN: a missing run is for the judge to name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from parity.verdict.statistics import CONFIDENCE, Difference, Floats


def pooled_difference(
    reference: ArrayLike, port: ArrayLike, margin: float, confidence: float = CONFIDENCE
) -> Difference:
    """Student's t-interval of the mean over tasks of ``mean(port) - mean(reference)``, and TOST against ``margin``.

    The variance is pooled within cells (a cell is one framework on one task), with ``df = tasks * (n_a + n_b - 2)``:
    ``tasks * (2n - 2)`` for equally many runs. That takes the standard deviation of all cells for the same. With equal
    ``n`` the variance stays right where they are not, but the degrees of freedom are then too many: with one noisy task
    among three quiet ones false equivalence at the margin is 6.3 % at 5 seeds and 7.5 % at 3 (simulated). For that
    ``satterthwaite_difference`` stands beside it. Without any variation the interval is a point. NaN with fewer than two
    runs an arm.

    Source: the contrast of a cell-means model (Scheffé 1959); Schuirmann 1987 for TOST.
    """
    a, b = _cells(reference, port)
    tasks, sizes = a.shape[-2], (a.shape[-1], b.shape[-1])
    df = tasks * (sum(sizes) - 2)
    if min(sizes) < 2:
        return _difference(a, b, np.nan, np.nan, margin, confidence)
    error = np.sqrt(_pooled_variance(a, b, df) * (1 / sizes[0] + 1 / sizes[1]) / tasks)
    return _difference(a, b, error, df, margin, confidence)


def satterthwaite_difference(
    reference: ArrayLike, port: ArrayLike, margin: float, confidence: float = CONFIDENCE
) -> Difference:
    """The same, with a variance of its own for every cell: Welch's interval, which it is for one task.

    Where one task is much noisier than the others it has fewer degrees of freedom than ``pooled_difference``, and says
    by how much the pooled interval was too narrow. NaN where an arm has fewer than two runs.

    Source: Satterthwaite 1946; Welch 1947.
    """
    a, b = _cells(reference, port)
    if min(a.shape[-1], b.shape[-1]) < 2:
        return _difference(a, b, np.nan, np.nan, margin, confidence)
    parts = np.stack([np.var(arm, axis=-1, ddof=1) / arm.shape[-1] for arm in (a, b)], axis=-1)
    freedom = np.array([a.shape[-1] - 1, b.shape[-1] - 1])
    total = parts.sum(axis=(-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        df = np.where(total > 0, total**2 / (parts**2 / freedom).sum(axis=(-1, -2)), 1.0)
    return _difference(a, b, np.sqrt(total) / a.shape[-2], df, margin, confidence)


def p_tasks_differ(reference: ArrayLike, port: ArrayLike) -> Floats:
    """p-value of the F test that the port's difference from the reference is the same on every task.

    A small one says that the mean over tasks hides something: look at the tasks. NaN for one task, fewer than two runs
    an arm, or no variation at all. Source: the interaction of a two-way layout (Scheffé 1959).
    """
    a, b = _cells(reference, port)
    tasks, sizes = a.shape[-2], (a.shape[-1], b.shape[-1])
    if tasks < 2 or min(sizes) < 2:
        return np.full(a.shape[:-2], np.nan)
    df = tasks * (sum(sizes) - 2)
    between = np.var(b.mean(axis=-1) - a.mean(axis=-1), axis=-1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = between / (_pooled_variance(a, b, df) * (1 / sizes[0] + 1 / sizes[1]))
    return np.asarray(stats.f.sf(ratio, tasks - 1, df))


def _cells(reference: ArrayLike, port: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(reference, np.float64), np.asarray(port, np.float64)
    if a.ndim < 2 or a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"runs must be [..., tasks, n] for the same tasks in both arms, got {a.shape} and {b.shape}")
    return a, b


def _pooled_variance(a: Floats, b: Floats, df: float) -> Floats:
    """Within cells, ``[...]``."""
    squares = (a.shape[-1] - 1) * np.var(a, axis=-1, ddof=1) + (b.shape[-1] - 1) * np.var(b, axis=-1, ddof=1)
    return squares.sum(axis=-1) / df


def _difference(a: Floats, b: Floats, error: ArrayLike, df: ArrayLike, margin: float, confidence: float) -> Difference:
    estimate = (b.mean(axis=-1) - a.mean(axis=-1)).mean(axis=-1)
    error, df = np.asarray(error, np.float64), np.asarray(df, np.float64)
    half = stats.t.ppf((1 + confidence) / 2, df) * error

    def p_value(bound: float, tail: Callable[..., Floats]) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            p = tail((estimate - bound) / error, df)
        # Without variation a difference on the bound is 0/0 for SciPy, and no evidence.
        return np.where((error == 0) & (estimate == bound), 1.0, p)

    return Difference(
        estimate=np.asarray(estimate),
        low=np.asarray(estimate - half),
        high=np.asarray(estimate + half),
        confidence=confidence,
        p_equivalence=np.maximum(p_value(-margin, stats.t.sf), p_value(margin, stats.t.cdf)),
        p_worse=p_value(0.0, stats.t.cdf),
    )
