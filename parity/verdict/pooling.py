"""The tasks of a study together: ``pooled`` of the summary, from the runs of every task and what was said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from parity.results.summary import PRIMARY, SB3, MetricComparison, PooledSummary, PrimaryMetrics, TaskSummary, Verdict
from parity.verdict.comparison import correct_worse, gravest, invalidate, primary_verdict, seeds_to_decide
from parity.verdict.pooled import pooled_difference
from parity.verdict.robustness import robustness
from parity.verdict.runs import TaskRuns
from parity.verdict.statistics import ALPHA, interval_verdict


def pool(
    tasks: Mapping[str, TaskRuns], judged: Mapping[str, TaskSummary], alpha: float = ALPHA
) -> PooledSummary | None:
    """None where there is one task, or no port beside SB3. INVALID where the port is INVALID on any of the tasks.

    ``alpha`` is one-sided, as in ``compare``.
    """
    all_runs = list(tasks.values())
    ports = [framework for framework in all_runs[0].frameworks if framework != SB3]
    if len(all_runs) < 2 or not ports or SB3 not in all_runs[0].frameworks:
        return None
    comparisons, verdicts, reasons = {}, {}, []
    for port in ports:
        compared = PrimaryMetrics(**{name: _compare(all_runs, port, name, alpha) for name in PRIMARY})
        (metrics,) = correct_worse([compared], alpha)
        invalid = [name for name, task in judged.items() if task.verdicts[port] is Verdict.INVALID]
        if invalid:
            reason = f"{port} cannot be judged on {', '.join(invalid)}"
            reasons.append(reason)
            metrics = invalidate(metrics, reason)
        comparisons[port], verdicts[port] = metrics, primary_verdict(metrics)
    return PooledSummary(
        verdict=gravest(list(verdicts.values())),
        tasks=list(tasks),
        metrics=comparisons[ports[0]],
        comparisons=comparisons,
        verdicts=verdicts,
        reasons=reasons,
        robustness={port: robustness(all_runs, port, alpha) for port in ports},
    )


def _compare(tasks: Sequence[TaskRuns], port: str, metric: str, alpha: float) -> MetricComparison:
    scores = {framework: [runs.scores(framework, metric) for runs in tasks] for framework in (SB3, port)}
    # The strictest: whoever keeps within it keeps within every task's own.
    margin = min(runs.margin for runs in tasks)
    common = MetricComparison.model_validate(
        {
            "margin": margin,
            "verdict": Verdict.INCONCLUSIVE,
            "runs": {framework: sum(map(len, arms)) for framework, arms in scores.items()},
            **{
                framework: float(np.mean([np.mean(arm) for arm in arms])) if all(arms) else None
                for framework, arms in scores.items()
            },
        }
    )
    lengths = {len(arm) for arms in scores.values() for arm in arms}
    if len(lengths) > 1:
        return common.model_copy(update={"reason": "pooling needs equally many runs of every framework on every task"})
    if min(lengths) < 2:
        return common.model_copy(update={"reason": "an interval needs two runs of each framework"})
    test = pooled_difference(scores[SB3], scores[port], margin, 1 - 2 * alpha)
    verdict = interval_verdict(float(test.low), float(test.high), margin)
    open_ = verdict is Verdict.INCONCLUSIVE
    needed = seeds_to_decide(scores[SB3], scores[port], margin, alpha) if open_ else None
    return common.model_copy(
        update={
            "difference": float(test.estimate),
            "interval": (float(test.low), float(test.high)),
            "confidence": test.confidence,
            "verdict": verdict,
            "seeds_needed": needed,
            "p_equivalence": float(test.p_equivalence),
            "p_worse": float(test.p_worse),
        }
    )
