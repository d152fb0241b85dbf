"""Does a framework learn as well as when the baseline was accepted? Compares its own runs, then and now.

The test is the one that compares a port with SB3: Welch's interval of the difference against the task's margin, WORSE
corrected by Holm's method over all tasks, frameworks and metrics of the gate. Of several tasks there is the mean of their
differences too, a family of its own. Scores are on the baseline's scale, so that a study whose own scale is its SB3 mean
can be compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from parity.results.summary import Verdict
from parity.verdict.pooled_statistics import pooled_difference
from parity.verdict.statistics import (
    ALPHA,
    CONFIDENCE,
    holm,
    interval_verdict,
    more_collapses,
    not_worse,
    welch_difference,
)

SAME = "every run is the same as in the baseline, seed by seed"
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


@dataclass(frozen=True)
class LearningChange:
    """The verdict on the study against its baseline; ``difference`` is study minus baseline in normalised score."""

    verdict: Verdict
    margin: float
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_worse: float = math.nan
    p_worse_holm: float = math.nan
    reason: str | None = None

    @property
    def not_worse(self) -> bool:
        """Non-inferiority: the interval's lower end is above minus the margin, or nothing has changed at all."""
        return self.verdict is Verdict.EQUIVALENT or bool(not_worse(self.low, self.margin))

    @property
    def words(self) -> str:
        if math.isnan(self.difference):
            return self.reason or "there is nothing to compare"
        text = f"{self.difference:+.2f}"
        if not math.isnan(self.low):
            text += f" ({100 * CONFIDENCE:.0f} % interval {self.low:+.2f} to {self.high:+.2f}, margin {self.margin:g})"
        return text + (f": {self.reason}" if self.reason else "")

    @property
    def figures(self) -> dict[str, float | None]:
        values = {
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "confidence": CONFIDENCE,
            "margin": self.margin,
            "p_worse": self.p_worse,
            "p_worse_holm": self.p_worse_holm,
        }
        return {name: None if math.isnan(value) else value for name, value in values.items()}


def judge_family(family: Iterable[Runs]) -> list[LearningChange]:
    """One family of claims: WORSE stays where Holm's adjusted p is at most 5 %.

    Against an equal baseline any claim of the family is called WORSE in at most 5 % of studies, more than one collapsed seed
    beyond the baseline's aside (``parity.verdict.statistics.more_collapses``).
    """
    family = list(family)
    judged = _judge_all(family)
    return [_collapsed(runs, change) for runs, change in zip(family, _corrected(judged), strict=True)]


def judge_pooled(families: Sequence[Sequence[Runs]]) -> list[LearningChange]:
    """Mean differences over tasks: each member has the runs of one metric on several tasks."""
    return _corrected([_pooled(tasks) for tasks in families])


def _judge_all(family: Sequence[Runs]) -> list[LearningChange]:
    """Without correction; runs of equal shape are tested at once."""
    groups: dict[tuple[int, int, float], list[int]] = {}
    for index, runs in enumerate(family):
        groups.setdefault((len(runs.baseline), len(runs.study), runs.margin), []).append(index)
    judged: dict[int, LearningChange] = {}
    for (then, now, margin), members in groups.items():
        if min(then, now) < 2:
            judged |= {index: LearningChange(Verdict.INCONCLUSIVE, margin, reason=TOO_FEW) for index in members}
            continue
        test = welch_difference(
            [family[index].baseline for index in members], [family[index].study for index in members], margin
        )
        figures = zip(*(of.tolist() for of in (test.estimate, test.low, test.high, test.p_worse)), strict=True)
        judged |= {index: _judged(margin, family[index].same, *of) for index, of in zip(members, figures, strict=True)}
    return [judged[index] for index in range(len(family))]


def _pooled(tasks: Sequence[Runs]) -> LearningChange:
    margin = min(runs.margin for runs in tasks)
    lengths = {len(runs.baseline) for runs in tasks}, {len(runs.study) for runs in tasks}
    if any(len(sizes) > 1 for sizes in lengths):
        return LearningChange(Verdict.INCONCLUSIVE, margin, reason="pooling needs equally many runs on every task")
    if min(*lengths[0], *lengths[1]) < 2:
        return LearningChange(Verdict.INCONCLUSIVE, margin, reason=TOO_FEW)
    test = pooled_difference([runs.baseline for runs in tasks], [runs.study for runs in tasks], margin)
    same = all(runs.same for runs in tasks)
    return _judged(margin, same, float(test.estimate), float(test.low), float(test.high), float(test.p_worse))


def _judged(margin: float, same: bool, estimate: float, low: float, high: float, p_worse: float) -> LearningChange:
    verdict = Verdict.EQUIVALENT if same else interval_verdict(low, high, margin)
    return LearningChange(verdict, margin, estimate, low, high, p_worse, reason=SAME if same else None)


def _corrected(judged: Sequence[LearningChange]) -> list[LearningChange]:
    adjusted = holm([change.p_worse for change in judged])
    corrected = []
    for change, p in zip(judged, adjusted, strict=True):
        change = replace(change, p_worse_holm=float(p))
        if change.verdict is Verdict.WORSE and not p <= ALPHA:
            reason = "below the baseline by itself, but not after correction for the number of claims"
            change = replace(change, verdict=Verdict.INCONCLUSIVE, reason=reason)
        corrected.append(change)
    return corrected


def _collapsed(runs: Runs, change: LearningChange) -> LearningChange:
    """More runs now than then would have more chances to collapse: the rule is for at most as many."""
    if not runs.collapses or len(runs.study) > len(runs.baseline):
        return change
    extra = more_collapses(runs.baseline, runs.study)
    if extra < 2:
        return change
    return replace(change, verdict=Verdict.WORSE, reason=f"{extra} more seeds collapsed than in the baseline")
