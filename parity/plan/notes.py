"""The sentences that ``parity plan`` prints before and after its table."""

from __future__ import annotations

from parity.errors import in_words
from parity.results.plan import Plan


def question(plan: Plan) -> str:
    """What the table answers."""
    return (
        f"How many seeds show equivalence within {plan.margin:g} of the normalised score in {100 * plan.power:g} % of the "
        f"studies of {in_words(plan.frameworks)}?"
    )


def explanations(plan: Plan) -> list[str]:
    """What the table's columns mean, and where its figures come from."""
    first = plan.designs[0]
    inside = [rate for rate in first.rates if 0 < rate.drop < plan.margin]
    sequential = first.sequential
    sentences = [
        "seeds: per framework and task, simulated with both primary metrics and never under the 3 that LEARNS takes; formula: "
        "of one metric. Several tasks are decided by the mean of their differences.",
        "EQUIVALENT: how often, where the port does not differ. WORSE: how often, where it truly scores lower by so much. What "
        "a curve cannot see, `parity check` may: it compares the numbers, and takes no seeds.",
    ]
    sentences += [
        f"A drop inside the margin may be called EQUIVALENT as well: one of {100 * rate.drop:.0f} % is in "
        f"{100 * rate.equivalent:.0f} % of the studies of the first row."
        for rate in inside
    ]
    if sequential is not None:
        looks = ", ".join(map(str, sequential.looks))
        sentences.append(
            f"looks: mean seeds with --sequential (at most {sequential.looks[-1]}, in looks at {looks}), where the port does "
            "not differ; where the table asks for more, it mostly ends open."
        )
    sentences.append("Deviation of a run's score: " + "; ".join(_deviations(plan)) + ".")
    return sentences + _times(plan)


def _deviations(plan: Plan) -> list[str]:
    """By source, final score and area under the curve of every task."""
    by_source: dict[str, list[str]] = {}
    for each in plan.deviations:
        figures = f"{each.final:.3g}" if each.final == each.auc else f"{each.final:.3f} final, {each.auc:.3f} area"
        source = f"{each.source}, {each.runs} runs a task" if each.runs else each.source
        by_source.setdefault(source, []).append(f"{each.task}: {figures}" if each.task else figures)
    return [f"{', '.join(figures)} ({source})" for source, figures in by_source.items()]


def _times(plan: Plan) -> list[str]:
    machine = plan.machine
    unmeasured = dict.fromkeys(name for design in plan.designs if design.time for name in design.time.unmeasured)
    sentences = []
    if machine.measured_on:
        named = any(design.names for design in plan.designs)
        what = "" if named else "for tasks that take as long as the mean of the measured ones, "
        where = "on such a machine" if machine.same else f"on {'; '.join(machine.measured_on)}: here, an estimate"
        sentences.append(
            f"time: {what}{machine.side_by_side} trials side by side ({machine.this}); trials were measured {where}."
        )
    if unmeasured:
        sentences.append(f"time ?: nobody has measured {', '.join(name.removeprefix(' ') for name in unmeasured)}.")
    return sentences
