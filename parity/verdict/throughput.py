"""How many times as fast is one framework as another, and is it slower than it was? From rounds, one number each.

Ratios of two frameworks on one machine may be compared with those of another machine; steps per second may not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from parity.verdict.statistics import WIDE_CONFIDENCE, Estimate

# Both are needed: the first alone finds differences that nobody minds, the second alone finds noise.
P_SLOWER = 0.002
FACTOR_SLOWER = 1.1
# With six rounds a side the smallest p that there can be is 0.0011, with five 0.004.
LEAST_ROUNDS = 6
# Rounds a side up to which the exact distribution is used; beyond, the normal approximation is as good.
MOST_EXACT = 20


def throughput_ratio(port: ArrayLike, reference: ArrayLike) -> Estimate:
    """Geometric mean of ``port / reference`` round by round, with Student's t-interval of its logarithm.

    Pairing by rounds takes out what slows the whole machine down for a while. A percentile bootstrap of six rounds covers
    in 86 % where it promises 95 %, Student's t in 95 % (simulated: tests/verdict/test_throughput.py).

    Args:
        port, reference: environment steps per second, ``[rounds]``, above 0; the shorter one's number of rounds counts.

    Raises:
        ValueError: there is no round, or a rate is not above 0.
    """
    a, b = np.asarray(port, np.float64), np.asarray(reference, np.float64)
    rounds = min(a.size, b.size)
    if not rounds or not (np.isfinite(a).all() and np.isfinite(b).all() and (a > 0).all() and (b > 0).all()):
        raise ValueError(f"rates must be finite and above 0, got {a} and {b}")
    logs = np.log(a[:rounds] / b[:rounds])
    mean = float(logs.mean())
    half = np.nan
    if rounds > 1:
        half = float(stats.t.ppf((1 + WIDE_CONFIDENCE) / 2, rounds - 1) * logs.std(ddof=1) / np.sqrt(rounds))
    return Estimate(float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half)))


@dataclass(frozen=True)
class Speed:
    """``factor`` is how many times faster the baseline was, by medians; ``slower`` is None where it cannot be told."""

    slower: bool | None
    factor: float
    p: float
    baseline: float
    study: float
    reason: str | None = None

    @property
    def figures(self) -> dict[str, float | None]:
        values = {"baseline": self.baseline, "study": self.study, "factor": self.factor, "p": self.p}
        return {name: None if math.isnan(value) else value for name, value in values.items()}


def judge_speed(baseline: Sequence[float], study: Sequence[float]) -> Speed:
    """Rates or ratios, one number per round, of two frameworks or then and now; larger is faster.

    Slower: one-sided Mann-Whitney p below 0.002 *and* a median more than 1.1 times smaller. Fewer than six rounds a side
    cannot tell.

    Source: Mann and Whitney 1947, the exact distribution for up to 20 rounds; ``scipy.stats.mannwhitneyu``.
    """
    then = np.asarray([value for value in baseline if math.isfinite(value) and value > 0], np.float64)
    now = np.asarray([value for value in study if math.isfinite(value) and value > 0], np.float64)
    if not then.size or not now.size:
        return Speed(None, math.nan, math.nan, math.nan, math.nan, "there are no figures of single rounds")
    medians = float(np.median(then)), float(np.median(now))
    factor = medians[0] / medians[1]
    if 1 / math.comb(then.size + now.size, then.size) >= P_SLOWER:
        reason = f"{then.size} rounds then and {now.size} now cannot tell; {LEAST_ROUNDS} each can"
        return Speed(None, factor, math.nan, *medians, reason)
    method: Any = "exact" if max(then.size, now.size) <= MOST_EXACT else "asymptotic"
    p = float(stats.mannwhitneyu(now, then, alternative="less", method=method).pvalue)
    return Speed(p < P_SLOWER and factor > FACTOR_SLOWER, factor, p, *medians)
