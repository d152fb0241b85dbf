"""Figures beside the verdict that gate nothing: do other ways of looking at the same scores point the same way?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from parity.results.summary import PRIMARY, SB3, Robustness
from parity.verdict.improvement import probability_of_improvement, successes
from parity.verdict.iqm import iqm_difference
from parity.verdict.metrics import THRESHOLD_OF_SB3
from parity.verdict.permutation import permutation_test
from parity.verdict.pooled import p_tasks_differ, satterthwaite_difference
from parity.verdict.runs import TaskRuns
from parity.verdict.statistics import ALPHA


def robustness(tasks: Sequence[TaskRuns], port: str, alpha: float = ALPHA) -> dict[str, Robustness]:
    """By primary metric, over the runs of SB3 and ``port`` that have scores; of one task or of several together.

    ``alpha`` is that of the verdict, for the interval with own variances that stands beside the pooled one.
    """
    return {metric: _of_metric(tasks, port, metric, alpha) for metric in PRIMARY}


def _of_metric(tasks: Sequence[TaskRuns], port: str, metric: str, alpha: float) -> Robustness:
    reference, arm = ([runs.scores(framework, metric) for runs in tasks] for framework in (SB3, port))
    thresholds = [THRESHOLD_OF_SB3 * runs.mean_score(SB3, metric) for runs in tasks]
    counts = {
        framework: [successes(scores, at) for scores, at in zip(scores_by_task, thresholds, strict=True)]
        for framework, scores_by_task in ((SB3, reference), (port, arm))
    }
    lines = Robustness(successes={name: (sum(k for k, _ in of), sum(n for _, n in of)) for name, of in counts.items()})
    if not all(reference) or not all(arm):
        return lines
    permutation, middle = permutation_test(reference, arm), iqm_difference(reference, arm)
    lines = lines.model_copy(
        update={
            "p_permutation": permutation.p,
            "permutation_exact": permutation.exact,
            "iqm_difference": middle.estimate,
            "iqm_interval": None if math.isnan(middle.low + middle.high) else (middle.low, middle.high),
            "iqm_confidence": middle.confidence,
            "probability_of_improvement": probability_of_improvement(reference, arm),
        }
    )
    if len(tasks) < 2 or not _rectangular(reference) or not _rectangular(arm) or min(map(len, reference + arm)) < 2:
        return lines
    own = satterthwaite_difference(reference, arm, margin=math.inf, confidence=1 - 2 * alpha)
    differ = float(p_tasks_differ(reference, arm))
    update = {
        "interval_own_variances": (float(own.low), float(own.high)),
        "p_tasks_differ": None if np.isnan(differ) else differ,
    }
    return lines.model_copy(update=update)


def _rectangular(arms: Sequence[Sequence[float]]) -> bool:
    return len({len(scores) for scores in arms}) == 1
