"""Does a framework learn the task? A statement about the runs of a study, not about a population of seeds.

A test between seeds at 1 % would fail one good framework in eight at three seeds and a run-to-run deviation of 14 %;
the episodes of one evaluation decide about one seed, and counting seeds decides about the framework.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from parity.results.summary import Learns
from parity.verdict.statistics import ALPHA_LEARNED, COLLAPSED_BELOW

LEAST_SEEDS = 3
# A policy that starts here was trained before; luck does not reach it, and there is less room to rise.
HEAD_START = 0.5
# A port's mean score as a share of SB3's: it learns from the first on, and does not learn below the second.
ENOUGH_OF_SB3 = 0.5
TOO_LITTLE_OF_SB3 = 0.25


def seed_learned(
    score: float, p_above_uniform_legal: float, p_above_start: float = 0.0, start_score: float = 0.0
) -> bool | None:
    """Did one seed learn: above uniform-legal play at 1 % over its evaluation episodes, and a score of at least 0.2.

    An untrained network that plays deterministically may score that by luck, so the run must also be above its own first
    evaluation at 1 %, unless that already scored ``HEAD_START``. None where it cannot be told: no usable evaluation, or no
    scale for the score and the tests alone do not refute.
    """
    if math.isnan(p_above_uniform_legal):
        return None
    moved = not p_above_start >= ALPHA_LEARNED or start_score >= HEAD_START
    if p_above_uniform_legal >= ALPHA_LEARNED or not moved:
        return False
    return None if math.isnan(score) else score >= COLLAPSED_BELOW


def framework_learns(learned: Sequence[bool | None], mean_score: float, sb3_mean_score: float | None = None) -> Learns:
    """LEARNS, DOES_NOT_LEARN or UNDECIDED from the seeds that were asked for, None where a seed's answer is unknown.

    LEARNS: all of at least ``LEAST_SEEDS`` seeds learned, and a port's mean score is at least half of SB3's.
    DOES_NOT_LEARN: fewer than half of the seeds learned, whatever the unknown ones would have said, or the mean score of
    complete seeds is under a quarter of SB3's. ``sb3_mean_score`` is None for SB3 itself and where there is no SB3.
    """
    seeds, unknown = len(learned), sum(answer is None for answer in learned)
    good = sum(answer is True for answer in learned)
    if good + unknown < seeds / 2:
        return Learns.DOES_NOT_LEARN
    if unknown:
        return Learns.UNDECIDED
    if sb3_mean_score is not None and mean_score < TOO_LITTLE_OF_SB3 * sb3_mean_score:
        return Learns.DOES_NOT_LEARN
    enough = sb3_mean_score is None or mean_score >= ENOUGH_OF_SB3 * sb3_mean_score
    return Learns.LEARNS if good == seeds >= LEAST_SEEDS and enough else Learns.UNDECIDED
