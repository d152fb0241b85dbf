"""The ladder as points: how much of its tolerance each rung uses up, for the picture of where numbers part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from parity.report import text
from parity.results.summary import RungResult

# The ends of the logarithmic scale, in units of the tolerance: what is less is as good as identical, what is more is as bad.
LOWEST, HIGHEST = 1e-6, 1e4
BROKEN = ("fail", "invalid")


@dataclass(frozen=True)
class RungPoint:
    """One rung of one framework. ``used``: factor on the tolerance that would have passed, within the scale; ``words``: status,
    figures and reason, for a reader who points at it.
    """

    rung: int
    label: str
    used: float
    holds: bool
    words: str


def rung_points(ladder: Mapping[str, RungResult]) -> list[RungPoint]:
    """The rungs of one framework that have something to show; one that is not applicable has not."""
    return [
        _point(name, result)
        for name, result in ladder.items()
        if result.tolerance_needed is not None or result.status in BROKEN
    ]


def ladder_words(ladders: Mapping[str, Mapping[str, RungResult]]) -> str:
    """The picture in words, for people who do not see it."""
    parts = []
    for framework, ladder in ladders.items():
        broken = [f"{result.rung} {name}" for name, result in ladder.items() if result.status in BROKEN]
        held = [point.used for point in rung_points(ladder) if point.holds]
        used = (
            f"rungs that hold use at most {text.number(max(held), 2)} of their tolerance"
            if held
            else "nothing compared"
        )
        parts.append(f"{framework}: {used}" + (f"; broken: {', '.join(broken)}" if broken else ""))
    return f"How much of its tolerance each rung uses. {'. '.join(parts)}."


def _point(name: str, result: RungResult) -> RungPoint:
    holds, needed = result.status not in BROKEN, result.tolerance_needed
    if not holds and (needed is None or not math.isfinite(needed) or needed <= 1):
        # It is broken for another reason than a difference that has a size.
        needed = HIGHEST
    assert needed is not None
    figures = "" if result.max_abs is None else f", largest difference {text.number(result.max_abs, 2)}"
    why = result.reason or result.where
    return RungPoint(
        rung=result.rung,
        label=f"{result.rung} {name}",
        used=min(HIGHEST, max(LOWEST, needed)),
        holds=holds,
        words=f"{result.status.replace('_', ' ')}{figures}" + (f": {why}" if why else ""),
    )
