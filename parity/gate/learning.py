"""Does a framework learn as well as when the baseline was accepted? Compares its own runs, then and now.

The test is the one that compares a port with SB3: Welch's interval of the difference against the task's margin, WORSE
corrected by Holm's method over all tasks, frameworks and metrics of the gate. Of several tasks there is the mean of their
differences too, a family of its own. Scores are on the baseline's scale, so that a study whose own scale is its SB3 mean
can be compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parity.results.summary import MetricComparison, Verdict
from parity.verdict.pooled_statistics import pooled_difference
from parity.verdict.port_comparison import correct_family
from parity.verdict.statistics import (
    CONFIDENCE,
    interval_verdict,
    more_collapses,
    not_worse,
    welch_difference,
)

SAME = "every run is the same as in the baseline, seed by seed"
UNCORRECTED = "below the baseline by itself, but not after correction for the number of claims"
TOO_FEW = "an interval needs two runs then and now"


@dataclass(frozen=True)
class Runs:
    """Scores of one metric, one number per run, then and now. ``same``: equal seed by seed, in every metric."""

    baseline: Sequence[float]
    study: Sequence[float]
    margin: float
    same: bool = False
    # Of final scores: a collapsed seed is a verdict of its own.
    collapses: bool = False


def is_not_worse(change: MetricComparison) -> bool:
    """Non-inferiority: the interval's lower end is above minus the margin, or nothing has changed at all."""
    low = change.interval[0] if change.interval else math.nan
    return change.verdict is Verdict.EQUIVALENT or bool(not_worse(low, change.margin or 0.0))


def words(change: MetricComparison) -> str:
    if change.difference is None:
        return change.reason or "there is nothing to compare"
    text = f"{change.difference:+.2f}"
    if change.interval is not None:
        low, high = change.interval
        text += f" ({100 * CONFIDENCE:.0f} % interval {low:+.2f} to {high:+.2f}, margin {change.margin:g})"
    return text + (f": {change.reason}" if change.reason else "")


def figures(change: MetricComparison) -> dict[str, float | None]:
    low, high = change.interval or (None, None)
    return {
        "difference": change.difference,
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
        "margin": change.margin,
        "p_worse": change.p_worse,
        "p_worse_holm": change.p_worse_holm,
    }


def judge_family(family: Iterable[Runs]) -> list[MetricComparison]:
    """One family of claims: WORSE stays where Holm's adjusted p is at most 5 %.

    Against an equal baseline any claim of the family is called WORSE in at most 5 % of studies, more than one collapsed seed
    beyond the baseline's aside (``parity.verdict.statistics.more_collapses``).
    """
    family = list(family)
    judged = _judge_all(family)
    return [_collapsed(runs, change) for runs, change in zip(family, correct_family(judged, UNCORRECTED), strict=True)]


def judge_pooled(families: Sequence[Sequence[Runs]]) -> list[MetricComparison]:
    """Mean differences over tasks: each member has the runs of one metric on several tasks."""
    return correct_family([_pooled(tasks) for tasks in families], UNCORRECTED)


def _judge_all(family: Sequence[Runs]) -> list[MetricComparison]:
    """Without correction; runs of equal shape are tested at once."""
    groups: dict[tuple[int, int, float], list[int]] = {}
    for index, runs in enumerate(family):
        groups.setdefault((len(runs.baseline), len(runs.study), runs.margin), []).append(index)
    judged: dict[int, MetricComparison] = {}
    for (then, now, margin), members in groups.items():
        if min(then, now) < 2:
            judged |= {index: _undecided(margin, TOO_FEW) for index in members}
            continue
        test = welch_difference(
            [family[index].baseline for index in members], [family[index].study for index in members], margin
        )
        figures = zip(*(of.tolist() for of in (test.estimate, test.low, test.high, test.p_worse)), strict=True)
        judged |= {index: _judged(margin, family[index].same, *of) for index, of in zip(members, figures, strict=True)}
    return [judged[index] for index in range(len(family))]


def _pooled(tasks: Sequence[Runs]) -> MetricComparison:
    margin = min(runs.margin for runs in tasks)
    lengths = {len(runs.baseline) for runs in tasks}, {len(runs.study) for runs in tasks}
    if any(len(sizes) > 1 for sizes in lengths):
        return MetricComparison(
            verdict=Verdict.INCONCLUSIVE, margin=margin, reason="pooling needs equally many runs on every task"
        )
    if min(*lengths[0], *lengths[1]) < 2:
        return _undecided(margin, TOO_FEW)
    test = pooled_difference([runs.baseline for runs in tasks], [runs.study for runs in tasks], margin)
    same = all(runs.same for runs in tasks)
    return _judged(margin, same, float(test.estimate), float(test.low), float(test.high), float(test.p_worse))


def _undecided(margin: float, reason: str) -> MetricComparison:
    return MetricComparison(verdict=Verdict.INCONCLUSIVE, margin=margin, reason=reason)


def _judged(margin: float, same: bool, estimate: float, low: float, high: float, p_worse: float) -> MetricComparison:
    return MetricComparison(
        verdict=Verdict.EQUIVALENT if same else interval_verdict(low, high, margin),
        margin=margin,
        difference=estimate,
        interval=(low, high),
        p_worse=p_worse,
        reason=SAME if same else None,
    )


def _collapsed(runs: Runs, change: MetricComparison) -> MetricComparison:
    """More runs now than then would have more chances to collapse: the rule is for at most as many."""
    if not runs.collapses or len(runs.study) > len(runs.baseline):
        return change
    extra = more_collapses(runs.baseline, runs.study)
    if extra < 2:
        return change
    reason = f"{extra} more seeds collapsed than in the baseline"
    return change.model_copy(update={"verdict": Verdict.WORSE, "reason": reason})
