"""An outcome in words. The first sentence stands alone: it names every culprit, its rung and what passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parity.bisect.part import Anatomy, Part
from parity.bisect.search import Culprit, Outcome
from parity.bisect.verdict import Error, Verdict

# Settings that are named with both values; what is over stands in the document.
MOST_SETTINGS = 12


def sentence(anatomy: Anatomy, outcome: Outcome) -> str:
    """The answer, one sentence or two."""
    if not outcome.reference.holds:
        return (
            f"The reference port of {anatomy.task} breaks {_rung(outcome.reference)}: the fault is in the task itself (its "
            "env, network or sb3_model), or in parity; no part of yours was tried."
        )
    if outcome.port.holds:
        return "Nothing breaks: your port climbs the whole ladder, all its parts together."
    if not outcome.culprits:
        return (
            f"Your port breaks {_rung(outcome.port)}, and no part of it could be made out that does: "
            f"{_because(outcome.port)}."
        )
    code = [culprit for culprit in outcome.culprits if not _is_setting(anatomy, culprit)]
    settings = [culprit for culprit in outcome.culprits if _is_setting(anatomy, culprit)]
    clauses = [_clause(anatomy, culprit, is_first=i == 0) for i, culprit in enumerate(code)]
    if settings:
        clauses.append(_settings(anatomy, settings, is_first=not code))
    told = ", and ".join(clauses) if len(clauses) == 2 else "; ".join(clauses)
    rest = _rest(anatomy, outcome)
    return f"{told[0].upper()}{told[1:]}; {rest}."


def notes(anatomy: Anatomy, outcome: Outcome) -> list[str]:
    """What else there is to say, a sentence each."""
    found = []
    for culprit in outcome.culprits:
        if len(culprit.keys) > 1 and not _is_setting(anatomy, culprit):
            found.append(f"{_capital(_labels(anatomy, culprit.keys))} break only together: each alone passes.")
    if len(outcome.culprits) == 1 and (without := outcome.culprits[0].without) is not None and without.holds:
        found.append("With that replaced by the reference's, your port climbs the whole ladder.")
    if {"module.network", "module.value"} <= {key for culprit in outcome.culprits for key in culprit.keys}:
        found.append("Logits and values both differ: look first at the features that the two share.")
    if outcome.then:
        told = "; ".join(f"{_labels(anatomy, c.keys)} {_rung(c.alone)} ({_codes(c.alone)})" for c in outcome.then)
        found.append(f"Once these are replaced, this breaks as well, in their place or behind them: {told}.")
    if outcome.made_good:
        told = "; ".join(f"{_labels(anatomy, c.keys)} ({_codes(c.alone)})" for c in outcome.made_good)
        found.append(
            f"In the reference port alone this would break, and in yours it does not: {told}. It goes with other parts of "
            "yours, or was not reached."
        )
    found += [f"Not exchanged: {reason}." for reason in anatomy.fixed]
    return found


def advice(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Code, title and fix of the culprits' findings, the worst first, each once."""
    errors = [error for culprit in outcome.culprits for error in _seen(culprit.alone, outcome.port)]
    found = {error.code: (error.code, error.title, error.fix) for error in reversed(errors) if error.fix}
    return [found[code] for code in dict.fromkeys(error.code for error in errors) if code in found]


def _clause(anatomy: Anatomy, culprit: Culprit, is_first: bool) -> str:
    labels = _labels(anatomy, culprit.keys)
    return (
        f"with {labels} the ladder breaks {_rung(culprit.alone)} ({_because(culprit.alone)})"
        if is_first
        else (f"with {labels} {_rung(culprit.alone)} ({_because(culprit.alone)})")
    )


def _settings(anatomy: Anatomy, culprits: Sequence[Culprit], is_first: bool) -> str:
    parts = [part for culprit in culprits for part in anatomy.parts if part.key in culprit.keys]
    told = [f"{part.key} {part.yours} (reference: {part.reference})" for part in parts[:MOST_SETTINGS]]
    if len(parts) > MOST_SETTINGS:
        told.append(f"{len(parts) - MOST_SETTINGS} more")
    codes = ", ".join(dict.fromkeys(e.code for c in culprits for e in c.alone.errors if e.is_root))
    rungs = min((culprit.alone for culprit in culprits), key=lambda v: 99 if v.rung is None else v.rung)
    breaks = f"the ladder breaks {_rung(rungs)}" if is_first else _rung(rungs)
    return f"with your {_list(told)} {breaks} ({codes})"


def _rest(anatomy: Anatomy, outcome: Outcome) -> str:
    told = {key for culprit in (*outcome.culprits, *outcome.then, *outcome.made_good) for key in culprit.keys}
    left = [part for part in anatomy.parts if part.key not in told]
    if outcome.rest is not None and not outcome.rest.holds:
        return f"what is left of yours still breaks {_rung(outcome.rest)} ({_because(outcome.rest)})"
    code = [part.label for part in left if part.kind != "setting"]
    settings = sum(part.kind == "setting" for part in left)
    if settings:
        code.append(f"{settings} other setting{'s' if settings > 1 else ''}")
    return f"everything else of yours passes: {_list(code)}" if code else "there is nothing else of yours"


def _because(verdict: Verdict) -> str:
    """Code and title of the first root, and the codes of the others."""
    roots = list({error.code: error for error in verdict.errors if error.is_root}.values())
    if not roots:
        return verdict.reason
    more = f"; also {', '.join(error.code for error in roots[1:])}" if len(roots) > 1 else ""
    return f"{_coded(roots[0])}{more}"


def _coded(error: Error) -> str:
    """What is no finding of the catalogue has no code that anybody could look up."""
    return f"{error.code} {error.title}" if error.code.startswith("PAR") else error.title


def _seen(verdict: Verdict, port: Verdict) -> list[Error]:
    roots = [error for error in verdict.errors if error.is_root]
    return [error for error in roots if error.identity in port.identities] or roots


def _codes(verdict: Verdict) -> str:
    roots = [error for error in verdict.errors if error.is_root]
    return ", ".join(dict.fromkeys(e.code if e.code.startswith("PAR") else e.title for e in roots))


def _rung(verdict: Verdict) -> str:
    return "" if verdict.rung is None else f"at rung {verdict.rung}"


def _labels(anatomy: Anatomy, keys: Iterable[str]) -> str:
    parts: list[Part] = [part for part in anatomy.parts if part.key in set(keys)]
    return _list([f"your {part.label}" if part.kind == "setting" else part.label for part in parts])


def _is_setting(anatomy: Anatomy, culprit: Culprit) -> bool:
    return all(anatomy.part(key).kind == "setting" for key in culprit.keys)


def _list(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
