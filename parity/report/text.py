"""Numbers and words as reports show them. What is not known is a dash, never a zero or an empty cell."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from parity.results.summary import Learns, Verdict

UNKNOWN = "\u2013"
MINUS = "\u2212"

VERDICT_WORDS = {
    Verdict.EQUIVALENT: "The port learns as well as SB3, within the margin.",
    Verdict.WORSE: "The port learns worse than SB3.",
    Verdict.BETTER: "The port scores higher than SB3. Worth a look too: is its environment easier?",
    Verdict.INCONCLUSIVE: "These runs do not decide whether the port learns as well as SB3.",
    Verdict.INVALID: "These runs cannot be judged; whatever the figures below look like, they are no comparison.",
}
METRIC_MEANINGS = {
    "final": "mean of the evaluations in the last tenth of the training",
    "auc": "mean of the whole curve, from step 0 on",
}

# How a word looks: good, bad, open (not decided), note (worth a look).
TONES: dict[str, str] = {
    Verdict.EQUIVALENT: "good",
    Verdict.WORSE: "bad",
    Verdict.BETTER: "note",
    Verdict.INCONCLUSIVE: "open",
    Verdict.INVALID: "bad",
    Learns.LEARNS: "good",
    Learns.DOES_NOT_LEARN: "bad",
    Learns.UNDECIDED: "open",
    # Trials.
    "crashed": "bad",
    "interrupted": "bad",
    "missing": "bad",
    # Findings.
    "error": "bad",
    "warning": "open",
    "info": "note",
    # Rungs.
    "pass": "good",
    "explained": "note",
    "declared": "note",
    "fail": "bad",
    "invalid": "bad",
    # The gate.
    "PASS": "good",
    "FAIL": "bad",
    "undecided": "open",
    "waived": "open",
}


def learns_words(learns: Learns) -> str:
    return learns.replace("_", " ")


def tone(word: Any) -> str:
    return TONES.get(word, "plain")


def known(value: Any) -> bool:
    """False for None and NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _dash_for_unknown(show: Callable[..., str]) -> Callable[..., str]:
    @wraps(show)
    def shown(value: Any, *options: int) -> str:
        return show(value, *options) if known(value) else UNKNOWN

    return shown


@_dash_for_unknown
def number(value: float, digits: int = 4) -> str:
    """``digits`` significant digits; for returns, seconds and other quantities without a natural scale."""
    return _typographic("∞" if value == math.inf else "-∞" if value == -math.inf else f"{value:.{digits}g}")


@_dash_for_unknown
def fixed(value: float) -> str:
    """For scores: the same number of decimals everywhere, so that a column can be read down."""
    return number(value) if math.isinf(value) else _typographic(f"{value:.2f}")


@_dash_for_unknown
def signed(value: float) -> str:
    return number(value) if math.isinf(value) else _typographic(f"{value:+.2f}")


@_dash_for_unknown
def interval(bounds: tuple[float, float]) -> str:
    return f"{signed(bounds[0])} to {signed(bounds[1])}" if all(map(known, bounds)) else UNKNOWN


@_dash_for_unknown
def count(value: float) -> str:
    """A whole number with thousands apart."""
    return number(value) if math.isinf(value) else f"{round(value):,}"


def plural(value: int, noun: str) -> str:
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


@_dash_for_unknown
def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def megabytes(value: float | None) -> str:
    return f"{value:,.0f} MB" if known(value) and value else UNKNOWN


def setting(value: Any) -> str:
    """A hyperparameter's value, as Python would be given it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@_dash_for_unknown
def p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


@_dash_for_unknown
def share(value: float) -> str:
    return f"{100 * value:.0f} %"


def percent(confidence: float | None) -> str:
    """``90 %`` or ``96.4 %``: of an interval."""
    return f"{100 * confidence:.3g} %" if confidence else UNKNOWN


@_dash_for_unknown
def of_runs(counts: tuple[int, int]) -> str:
    return f"{counts[0]} of {counts[1]}"


def date(created: str) -> str:
    """``2026-11-22T09:00:00Z`` as ``2026-11-22 09:00 UTC``; anything else as it is."""
    return f"{created[:10]} {created[11:16]} UTC" if created[10:11] == "T" and created.endswith("Z") else created


def sentence_case(text: str) -> str:
    """A clause as a sentence of its own: reasons in a summary are stored without either end."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _typographic(text: str) -> str:
    return text.replace("-", MINUS, 1) if text.startswith("-") else text
