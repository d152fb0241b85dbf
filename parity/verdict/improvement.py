"""How often is a run of the port above a run of the reference, and how many runs succeed? Shown; gates nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def probability_of_improvement(reference: Sequence[ArrayLike], port: Sequence[ArrayLike]) -> float:
    """Probability that a random run of the port scores above a random run of the reference, averaged over tasks.

    One ``[n]`` of scores per task and arm; a tie counts half, so that 0.5 is no difference. It says how often, not by how
    much. NaN without tasks, for an arm without runs, and where a run is NaN.

    Source: the Mann-Whitney U over ``n_a * n_b``; Agarwal and others 2021 for the mean over tasks.
    """
    cells = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(reference, port, strict=True)]
    if not cells or any(arm.size == 0 or np.isnan(arm).any() for cell in cells for arm in cell):
        return math.nan
    return float(np.mean([np.mean((np.sign(np.subtract.outer(b, a)) + 1) / 2) for a, b in cells]))


def successes(scores: ArrayLike, threshold: float) -> tuple[int, int]:
    """``(runs that reach the threshold, runs)``; a NaN is a run that does not."""
    scores = np.asarray(scores, np.float64)
    return int(np.count_nonzero(scores >= threshold)), scores.size
