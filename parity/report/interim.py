"""What a report says of a sequential study, which adds seeds between interim analyses."""

from __future__ import annotations

from parity.report import text
from parity.results.summary import SequentialStatus, Verdict


def interim_words(status: SequentialStatus | None, verdict: Verdict) -> str | None:
    """The interim analysis, its error rate, and what stopping there saved, in sentences; None where there are none."""
    if status is None:
        return None
    *before, last = map(str, status.looks)
    words = (
        f"Seeds are added between interim analyses, at {', '.join(before)} and {last} per framework; this is interim "
        f"analysis {status.look} of {len(status.looks)}. Each tests at {100 * status.alpha:.3g} %, with "
        f"{text.percent(status.confidence)} intervals: a port that is worse by the whole margin is called EQUIVALENT at any "
        "of them in at most 5 % of studies."
    )
    if verdict is Verdict.INVALID:
        return words
    if not status.decided:
        rest = "It was the last." if status.last else f"The next is at {status.looks[status.look]} seeds."
        return f"{words} It decided nothing. {rest}"
    if status.last:
        return f"{words} It decided, as the last."
    seeds, trials = text.plural(status.seeds_saved, "seed"), text.plural(status.trials_saved, "trial")
    saved = f"{seeds} per framework and task, {trials}"
    if text.known(status.seconds_saved):
        saved += f", about {text.duration(status.seconds_saved)} of running time added up"
    return f"{words} It decided, and the study stopped here; that saved {saved}."
