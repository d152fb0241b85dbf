"""What a report says of a study that adds seeds in looks."""

from __future__ import annotations

from parity.report import text
from parity.results.summary import SequentialLook, Verdict


def look_words(look: SequentialLook | None, verdict: Verdict) -> str | None:
    """The look, its error rate, and what stopping there saved, in sentences; None for a study without looks."""
    if look is None:
        return None
    *before, last = map(str, look.looks)
    words = (
        f"Seeds are added in looks, at {', '.join(before)} and {last} per framework; this is look {look.look} of "
        f"{len(look.looks)}. Each look tests at {100 * look.alpha:.3g} %, with {text.percent(look.confidence)} intervals: a "
        "port that is worse by the whole margin is called EQUIVALENT at any of them in at most 5 % of studies."
    )
    if verdict is Verdict.INVALID:
        return words
    if not look.decided:
        rest = "It was the last." if look.last else f"The next is at {look.looks[look.look]} seeds."
        return f"{words} It decided nothing. {rest}"
    if look.last:
        return f"{words} It decided, as the last."
    saved = f"{text.plural(look.seeds_saved, 'seed')} per framework and task, {text.plural(look.trials_saved, 'trial')}"
    if text.known(look.seconds_saved):
        saved += f", about {text.duration(look.seconds_saved)} of running time added up"
    return f"{words} It decided, and the study stopped here; that saved {saved}."
