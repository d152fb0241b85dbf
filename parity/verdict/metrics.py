"""The metrics of one run, from its evaluation curve.

A curve is the ``curve.parquet`` of a trial: one row per evaluation with ``steps`` (int64, the first is 0, rising) and
``return_mean`` (float64, mean return of the deterministic policy). ``horizon`` is the number of environment steps that
the task asked for: frameworks that finish their last rollout go a little beyond, and are not to gain by it. Metrics are
in the environment's returns; the normalised score is linear, so scores of metrics are metrics of scores.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

FINAL_PART = 0.1
# Steps to threshold: the share of SB3's mean final score to be reached.
THRESHOLD_OF_SB3 = 0.8


def final(curve: pd.DataFrame, horizon: int) -> float:
    """Mean ``return_mean`` over the last tenth: evaluations after ``0.9 * horizon`` steps, NaN without any."""
    late = curve["steps"] > (1 - FINAL_PART) * horizon
    return float(curve.loc[late, "return_mean"].mean())


def auc(curve: pd.DataFrame, horizon: int) -> float:
    """Mean return over ``[0, horizon]`` steps: the trapezoidal area under the curve, divided by ``horizon``.

    The curve is taken as linear between evaluations and is cut at ``horizon``; NaN where it does not cover the range.
    """
    steps = curve["steps"].to_numpy(np.float64)
    means = curve["return_mean"].to_numpy(np.float64)
    if steps.size < 2 or steps[0] > 0 or steps[-1] < horizon:
        return float("nan")
    inside = steps < horizon
    x = np.append(steps[inside], horizon)
    y = np.append(means[inside], np.interp(horizon, steps, means))
    return float(np.trapezoid(y, x) / horizon)


def steps_to_threshold(curve: pd.DataFrame, threshold: float) -> tuple[int, bool]:
    """Steps of the first evaluation with ``return_mean >= threshold``, False; else of the last, and True: censored there.

    The resolution is that of the evaluations: no interpolation between two of them.
    """
    reached = curve.loc[curve["return_mean"] >= threshold, "steps"]
    return (int(reached.iloc[0]), False) if len(reached) else (int(curve["steps"].iloc[-1]), True)
