"""Which parameter of the port is which parameter of SB3: inferred from names and shapes where that is unambiguous."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict

from parity.results.capture import Correspondence

Shapes = dict[str, tuple[int, ...]]


def correspond(
    sb3: Shapes, port: Shapes, given: dict[str, str] | None = None, other_side: str = "SB3"
) -> Correspondence:
    """Pairs all parameters, or none; then with the candidates of each.

    ``given`` (``Task.parameter_map``) is taken as it is. Otherwise a shape that each side has once is a pair; among
    several of one shape, the name with the most trailing parts in common decides, where that is one name only.

    Args:
        sb3, port: name -> shape, of every parameter.
        given: SB3's name -> the port's name.
        other_side: whose parameters stand in SB3's place, in sentences.
    """
    paired = _paired(sb3, port, given, other_side)
    if paired.pairs:
        return paired
    return dataclasses.replace(paired, candidates=candidates(sb3, port))


def candidates(sb3: Shapes, port: Shapes) -> dict[str, list[str]]:
    """SB3's name -> the port's parameters of the same shape, the likeliest by its name first."""
    return {name: nearest_names(name, [other for other in port if port[other] == shape]) for name, shape in sb3.items()}


def nearest_names(name: str, others: list[str]) -> list[str]:
    """``others``, those with the most trailing parts in common with ``name`` first."""
    return sorted(others, key=lambda other: -_common_tail(name, other))


def _paired(sb3: Shapes, port: Shapes, given: dict[str, str] | None, other_side: str) -> Correspondence:
    if given is not None:
        for name, other in given.items():
            if name not in sb3 or other not in port:
                absent = name if name not in sb3 else other
                return Correspondence(reason=f'parameter_map names "{absent}", which does not exist')
            if sb3[name] != port[other]:
                return Correspondence(
                    reason=f"parameter_map pairs {name} {list(sb3[name])} with {other} {list(port[other])}",
                    other_network=True,
                )
        missing_names = [name for name in sb3 if name not in given]
        if missing_names:
            return Correspondence(reason=f"parameter_map leaves out {', '.join(missing_names[:3])}")
        return Correspondence(pairs=dict(given))
    if sorted(sb3.values()) != sorted(port.values()):
        count = {f"{other_side}'s": sb3, "the port's": port}
        sizes = " and ".join(
            f"{side} {sum(math.prod(shape) for shape in shapes.values()):,} in {len(shapes)} tensors"
            for side, shapes in count.items()
        )
        return Correspondence(
            reason=f"the networks have other parameters, {sizes}; bring parameter_map where they are one",
            other_network=True,
        )
    by_shape: dict[tuple[int, ...], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name, shape in sb3.items():
        by_shape[shape][0].append(name)
    for name, shape in port.items():
        by_shape[shape][1].append(name)
    pairs: dict[str, str] = {}
    for names, others in by_shape.values():
        of_shape = _by_name(names, others)
        if of_shape is None:
            return Correspondence(
                reason=f"{', '.join(names[:3])} could each be any of {', '.join(others[:3])}: give the task a parameter_map",
                ambiguous=True,
            )
        pairs |= of_shape
    return Correspondence(pairs=pairs)


def _by_name(names: list[str], others: list[str]) -> dict[str, str] | None:
    """Pairs of names that are each other's closest, one after the other; what is left at the end is a pair."""
    pairs: dict[str, str] = {}
    names, others = list(names), list(others)
    while len(names) > 1:
        mutual = [
            (name, other)
            for name in names
            if (other := _closest(name, others)) is not None and _closest(other, names) == name
        ]
        if not mutual:
            return None
        for name, other in mutual:
            pairs[name] = other
            names.remove(name)
            others.remove(other)
    return pairs | dict(zip(names, others, strict=True))


def closest_first(names: list[str], others: list[str]) -> list[str]:
    """``others`` in the order of ``names``: those with the most trailing parts in common, else in their own order."""
    left, ordered = list(others), []
    for name in names:
        best = max(left, key=lambda other: _common_tail(name, other))
        left.remove(best)
        ordered.append(best)
    return ordered


def _closest(name: str, others: list[str]) -> str | None:
    """The one name with the most trailing parts in common, None where there are several."""
    common = {other: _common_tail(name, other) for other in others}
    best = [other for other, length in common.items() if length == max(common.values())]
    return best[0] if len(best) == 1 else None


def _common_tail(name: str, other: str) -> int:
    """Number of trailing dotted parts that two names share."""
    length = 0
    for a, b in zip(reversed(name.split(".")), reversed(other.split(".")), strict=False):
        if a != b:
            break
        length += 1
    return length
