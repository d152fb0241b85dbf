"""A search's result in words. The first sentence stands alone: it names every culprit, its rung and what passes."""

from __future__ import annotations

from collections.abc import Sequence

from parity.bisect.ladder_outcome import LadderOutcome
from parity.bisect.parts import PortParts
from parity.bisect.search import Culprit, SearchResult
from parity.errors import in_words

# Settings that are named with both values; the document has all of them.
MOST_SETTINGS = 12


def sentence(parts: PortParts, result: SearchResult) -> str:
    """The answer, one sentence or two."""
    if not result.reference.holds:
        return (
            f"The reference port of {parts.task} breaks {_rung(result.reference)}: the fault is in the task itself (its "
            "env, network or sb3_model), or in parity; no part of yours was tried."
        )
    if result.port.holds:
        return "Nothing breaks: your port climbs the whole ladder, all its parts together."
    if not result.culprits:
        return f"Your port breaks {_rung(result.port)}, and no part of it could be found that does: {_because(result.port)}."
    settings = [culprit for culprit in result.culprits if parts.are_settings(culprit.keys)]
    breaks = [
        (parts.in_words(culprit.keys), _rung(culprit.alone), _because(culprit.alone))
        for culprit in result.culprits
        if culprit not in settings
    ]
    if settings:
        lowest = min((culprit.alone for culprit in settings), key=lambda each: 99 if each.rung is None else each.rung)
        codes = dict.fromkeys(code for culprit in settings for code in culprit.alone.codes)
        breaks.append((_values(parts, settings), _rung(lowest), ", ".join(codes)))
    clauses = [
        f"with {labels} {'' if i else 'the ladder breaks '}{rung} ({why})"
        for i, (labels, rung, why) in enumerate(breaks)
    ]
    text = (", and " if len(clauses) == 2 else "; ").join(clauses)
    return f"{_capital(text)}; {_what_passes(parts, result)}."


def notes(parts: PortParts, result: SearchResult) -> list[str]:
    """What else there is to say, a sentence each."""
    lines = [
        f"{_capital(parts.in_words(culprit.keys))} break only together: each alone passes."
        for culprit in result.culprits
        if len(culprit.keys) > 1 and not parts.are_settings(culprit.keys)
    ]
    if len(result.culprits) == 1 and (without := result.culprits[0].without) is not None and without.holds:
        lines.append("With that replaced by the reference's, your port climbs the whole ladder.")
    if {"module.network", "module.value"} <= {key for culprit in result.culprits for key in culprit.keys}:
        lines.append("Logits and values both differ: look first at the features that the two share.")
    if result.then:
        each = "; ".join(f"{parts.in_words(c.keys)} {_rung(c.alone)} ({_codes(c.alone)})" for c in result.then)
        lines.append(f"Once these are replaced, this breaks as well, in their place or behind them: {each}.")
    if result.made_good:
        each = "; ".join(f"{parts.in_words(c.keys)} ({_codes(c.alone)})" for c in result.made_good)
        lines.append(
            f"In the reference port alone this would break, and in yours it does not: {each}. It belongs together with other "
            "parts of yours, or your port breaks before it is reached."
        )
    return lines + not_exchanged(parts)


def not_exchanged(parts: PortParts) -> list[str]:
    return [f"Not exchanged: {reason}." for reason in parts.fixed]


def advice(result: SearchResult) -> list[tuple[str, str, str]]:
    """Code, title and fix of the culprits' findings, the worst first, each once."""
    advice: dict[str, tuple[str, str, str]] = {}
    for culprit in result.culprits:
        roots = culprit.alone.root_errors
        seen = [error for error in roots if error.identity in result.port.identities] or roots
        for error in seen:
            if error.fix:
                advice.setdefault(error.code, (error.code, error.title, error.fix))
    return list(advice.values())


def _values(parts: PortParts, culprits: Sequence[Culprit]) -> str:
    settings = [part for culprit in culprits for part in parts.of(culprit.keys)]
    values = [f"{part.key} {part.yours} (reference: {part.reference})" for part in settings[:MOST_SETTINGS]]
    if len(settings) > MOST_SETTINGS:
        values.append(f"{len(settings) - MOST_SETTINGS} more")
    return f"your {in_words(values)}"


def _what_passes(parts: PortParts, result: SearchResult) -> str:
    if result.rest is not None and not result.rest.holds:
        return f"what is left of yours still breaks {_rung(result.rest)} ({_because(result.rest)})"
    named = {key for culprit in (*result.culprits, *result.then, *result.made_good) for key in culprit.keys}
    left = parts.of(parts.keys - named)
    labels = [part.label for part in left if part.kind != "setting"]
    if settings := len(left) - len(labels):
        labels.append(f"{settings} other setting{'s' if settings > 1 else ''}")
    return f"everything else of yours passes: {in_words(labels)}" if labels else "there is nothing else of yours"


def _because(outcome: LadderOutcome) -> str:
    """Code and title of the first root, and the codes of the others."""
    if not outcome.root_errors:
        return outcome.reason
    first, *others = {error.code: error for error in outcome.root_errors}.values()
    why = f"{first.code} {first.title}" if first.in_catalogue else first.title
    return f"{why}; also {', '.join(error.code for error in others)}" if others else why


def _codes(outcome: LadderOutcome) -> str:
    return ", ".join(dict.fromkeys(e.code if e.in_catalogue else e.title for e in outcome.root_errors))


def _rung(outcome: LadderOutcome) -> str:
    return "" if outcome.rung is None else f"at rung {outcome.rung}"


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
