"""How far two arrays are apart, where, and which tolerance would have let it pass."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from parity.ladder.tolerances import Tolerance


@dataclasses.dataclass(frozen=True)
class Difference:
    """The largest difference of a comparison."""

    max_abs: float  # largest absolute difference; NaN where either side is not finite
    max_rel: float  # largest difference relative to the reference
    # the factor on the tolerance (absolute and relative alike) that would have passed; up to 1 holds
    tolerance_needed: float
    where: str | None  # the place of that, in words

    def __bool__(self) -> bool:
        """Whether it holds."""
        return self.tolerance_needed <= 1.0


NONE = Difference(0.0, 0.0, 0.0, None)


RowNames = Callable[[int], str]
"""Says in words what a row number stands for."""


def elementwise(
    value: np.ndarray, reference: np.ndarray, tolerance: Tolerance, name: str = "", rows: RowNames | None = None
) -> Difference:
    """Every element within ``absolute`` or within ``relative`` of the reference's element.

    ``rows``: says in words what a row number (first index) stands for.
    """
    if value.shape != reference.shape:
        return Difference(
            math.inf, math.inf, math.inf, f"{name}: shape {list(value.shape)} and {list(reference.shape)}"
        )
    if np.array_equal(value, reference):  # also where there is nothing
        return NONE
    a, b = value.astype(np.float64), reference.astype(np.float64)
    same = a == b  # infinities of one sign included
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = np.where(same, 0.0, np.abs(a - b))
        relative = np.where(same, 0.0, absolute / np.abs(b))
        needed = np.minimum(absolute / tolerance.absolute, relative / tolerance.relative)
    needed = np.where(np.isfinite(a) & np.isfinite(b) | same, needed, math.inf)
    worst = np.unravel_index(int(np.argmax(needed)), needed.shape)
    finite = bool(np.isfinite(absolute).all())
    return Difference(
        float(absolute.max()) if finite else math.nan,
        float(np.where(absolute > tolerance.absolute, relative, 0.0).max()) if finite else math.nan,
        float(needed[worst]),
        _place(name, worst, rows) if needed[worst] > 0 else None,
    )


def per_tensor(
    values: dict[str, np.ndarray],
    references: dict[str, np.ndarray],
    tolerance: Tolerance,
    floors: Mapping[str, float] | None = None,
) -> Difference:
    """Each tensor's ‖a - b‖₂ within ``relative`` of ‖b‖₂, or below ``floor``; the worst tensor is named.

    ``floors``: tensors that have a floor of their own, where that is larger.
    """
    worst = NONE
    for name in [*references, *(name for name in values if name not in references)]:
        if name not in values or name not in references:
            return Difference(math.inf, math.inf, math.inf, f"{name}: on one side only")
        a, b = values[name].astype(np.float64), references[name].astype(np.float64)
        if a.shape != b.shape:
            return Difference(math.inf, math.inf, math.inf, f"{name}: shape {list(a.shape)} and {list(b.shape)}")
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return Difference(math.nan, math.nan, math.inf, f"{name}: not finite")
        distance, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
        relative = distance / size if size > 0 else (0.0 if distance == 0 else math.inf)
        floor = max(tolerance.floor, (floors or {}).get(name, 0.0))
        needed = min(relative / tolerance.relative, distance / floor)
        largest = float(np.abs(a - b).max(initial=0.0))
        worst = Difference(
            max(worst.max_abs, largest),
            max(worst.max_rel, relative if distance > floor else 0.0),
            max(worst.tolerance_needed, needed),
            name if needed > worst.tolerance_needed else worst.where,
        )
    return worst


def largest(differences: list[Difference]) -> Difference:
    """The worst of several, with the largest absolute and relative difference of all."""
    if not differences:
        return NONE
    worst = max(differences, key=lambda d: d.tolerance_needed)
    return dataclasses.replace(
        worst, max_abs=_max(d.max_abs for d in differences), max_rel=_max(d.max_rel for d in differences)
    )


def _max(values: Iterable[float]) -> float:
    each = list(values)
    return math.nan if any(math.isnan(value) for value in each) else max(each)


def _place(name: str, index: tuple[np.intp, ...], rows: RowNames | None) -> str:
    row, *rest = (int(i) for i in index) if index else (0,)
    column = f", column {rest[0] if len(rest) == 1 else rest}" if rest else ""
    where = f"row {row}" if rows is None else rows(row)
    return f"{name}{', ' if rows is not None and name else ' '}{where}{column}".strip()
