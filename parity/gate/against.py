"""The study against the baseline, as claims: what is there, what a task is, the ladder, learning and throughput."""

from __future__ import annotations

from collections.abc import Collection

from parity.gate.baseline import Baseline
from parity.gate.definition import Tasks, definition_changes, definitions, presence
from parity.gate.ladder import ladder
from parity.gate.learning_claims import learning
from parity.gate.throughput_claims import Source, bench, observed
from parity.results.gate import Claim
from parity.results.summary import Summary


def against(
    baseline: Baseline, tasks: Tasks, summary: Summary, require: Collection[str], throughput: Source
) -> list[Claim]:
    """Every claim on a change.

    Args:
        tasks: the study in the form in which a baseline keeps it.
    """
    changed = {
        name: definition_changes(baseline.tasks[name], task) for name, task in tasks.items() if name in baseline.tasks
    }
    comparable = [name for name, differences in changed.items() if not differences]
    claims = [*presence(baseline.tasks, tasks), *definitions(changed)]
    claims += ladder(baseline.tasks, summary)
    claims += learning(baseline.tasks, tasks, summary, comparable, require)
    for name in comparable:
        claims += bench(name, baseline.tasks[name], tasks[name])
        if throughput == "observed":
            claims += observed(name, baseline.tasks[name], tasks[name])
    return claims
