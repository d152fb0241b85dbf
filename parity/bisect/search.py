"""Which parts of a port break the ladder: a search over mixtures, whoever judges them.

Nothing here runs anything: ``judge`` takes sets of the user's parts and gives the verdict of each mixture.

1. The reference port and the user's: where the first breaks, the fault is in the task; where the second holds, nowhere.
2. From the reference port, one part of the user's at a time; groups first, their members where a group breaks.
3. A part that breaks there, with an error that the user's port shows, is a culprit. One whose errors the user's port does
   not show is made good by another part there: the two go together.
4. From the user's port, with all culprits replaced: where it still breaks, what does so is looked for again. If no part does
   alone, Zeller's ddmin finds a smallest set that breaks together (Zeller and Hildebrandt, "Simplifying and isolating
   failure-inducing input", IEEE Transactions on Software Engineering 28(2), 2002, section 3.2).
5. From the user's port, with each culprit replaced: whether that alone mends it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from parity.bisect.part import KINDS, Anatomy
from parity.bisect.verdict import FIRST_NUMERIC, Identity, Verdict

Keys = frozenset[str]
Judge = Callable[[Sequence[Keys]], list[Verdict]]

# Sets that break only together are rare, and each is found by a dozen ladders or two.
MOST_TOGETHER = 3


@dataclasses.dataclass(frozen=True)
class Culprit:
    """Parts that break.

    Attributes:
        keys: one part, or several that break only together.
        alone: the reference port with these parts of the user's.
        without: the user's port with these parts replaced; None where that was not tried.
    """

    keys: Keys
    alone: Verdict
    without: Verdict | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was found.

    Attributes:
        reference, port: verdicts of both ends.
        culprits: worst first: code before settings, lower rungs before higher ones.
        then: parts that break in the user's port once the culprits are replaced, and not before.
        made_good: parts that break in the reference port and not in the user's.
        rest: the user's port with everything above replaced but ``made_good``; None where nothing was.
        tried: every mixture with its verdict, in the order of trying.
    """

    reference: Verdict
    port: Verdict
    culprits: tuple[Culprit, ...] = ()
    then: tuple[Culprit, ...] = ()
    made_good: tuple[Culprit, ...] = ()
    rest: Verdict | None = None
    tried: tuple[tuple[Keys, Verdict], ...] = ()


def interpolate(anatomy: Anatomy, judge: Judge) -> Outcome:
    """Searches between the reference port (no part is the user's) and the user's (all are)."""
    remembered = _Remembering(judge)
    everything = anatomy.keys
    reference, port = remembered([frozenset(), everything])
    if not reference.holds or port.holds:
        return Outcome(reference, port, tried=remembered.tried)
    alone = _alone(anatomy, remembered)
    seen = [keys for keys, verdict in alone.items() if _shows(verdict, port)]
    culprits, then = list(seen), list[Keys]()
    together = 0
    rest = remembered([everything - _union(culprits)])[0] if culprits else port
    while not rest.holds:
        known = [*culprits, *then]
        left = [keys for keys in alone if keys not in known]
        more = [keys for keys in left if _shows(alone[keys], rest)]
        if not more:
            # It breaks otherwise in the reference port than in the user's, where what breaks goes away with it.
            verdicts = remembered([everything - _union([*known, keys]) for keys in left])
            for keys, found in zip(left, verdicts, strict=True):
                if gone := rest.roots - found.identities:
                    more.append(keys)
                    (culprits if gone & port.identities else then).append(keys)
        else:
            then += more
        if not more:
            together += 1
            smallest = None
            if together <= MOST_TOGETHER:
                smallest = _together(anatomy, everything - _union(known), rest.roots, remembered)
            if smallest is None:
                break
            alone[smallest] = remembered([smallest])[0]
            (culprits if _shows(alone[smallest], port) else then).append(smallest)
        rest = remembered([everything - _union([*culprits, *then])])[0]
    named = {*culprits, *then}
    without = _without(anatomy, culprits, remembered)
    return Outcome(
        reference,
        port,
        culprits=_ordered(anatomy, [Culprit(keys, alone[keys], without.get(keys)) for keys in culprits]),
        then=_ordered(anatomy, [Culprit(keys, alone[keys]) for keys in then]),
        made_good=_ordered(anatomy, [Culprit(keys, found) for keys, found in alone.items() if keys not in named]),
        rest=rest,
        tried=remembered.tried,
    )


class _Remembering:
    """A judge that is asked once about each mixture."""

    def __init__(self, judge: Judge) -> None:
        self._judge, self._known = judge, dict[Keys, Verdict]()

    def __call__(self, wanted: Sequence[Keys]) -> list[Verdict]:
        new = [keys for keys in dict.fromkeys(wanted) if keys not in self._known]
        self._known |= dict(zip(new, self._judge(new), strict=True))
        return [self._known[keys] for keys in wanted]

    @property
    def tried(self) -> tuple[tuple[Keys, Verdict], ...]:
        return tuple(self._known.items())


def _alone(anatomy: Anatomy, judge: Judge) -> dict[Keys, Verdict]:
    """What breaks by itself in the reference port: single parts, and groups of which no member does."""
    units = anatomy.units()
    verdicts = dict(zip(units, judge(units), strict=True))
    broken = {unit: verdict for unit, verdict in verdicts.items() if not verdict.holds}
    members = {unit: [frozenset([key]) for key in sorted(unit)] for unit in broken if len(unit) > 1}
    singles = [single for found in members.values() for single in found]
    of_single = dict(zip(singles, judge(singles), strict=True))
    found: dict[Keys, Verdict] = {}
    for unit, verdict in broken.items():
        inside = {single: of_single[single] for single in members.get(unit, ()) if not of_single[single].holds}
        left = verdict.roots - {identity for each in inside.values() for identity in each.identities}
        found |= inside
        if not inside or (left and unit in members):
            smallest = unit if unit not in members else _ddmin([*members[unit]], _fails(judge, left or verdict.roots))
            # Where each of them breaks already, that they break otherwise together says nothing more.
            if smallest is not None and not smallest <= _union(inside):
                found[smallest] = judge([smallest])[0]
    return found


def _shows(alone: Verdict, whole: Verdict) -> bool:
    """Whether what breaks in the one breaks in the other; what follows from it there may be a root here.

    Not from gradients on: there everything that is wrong below ends, and float noise may show the same alone.
    """
    early = {error.identity for error in alone.errors if error.is_root and error.rung < FIRST_NUMERIC}
    return bool(early & whole.identities or alone.identities & whole.roots)


def _together(anatomy: Anatomy, keys: Keys, roots: frozenset[Identity], judge: Judge) -> Keys | None:
    """A smallest set of ``keys`` that shows one of these errors in the reference port; None if there is none."""
    units = [unit & keys for unit in anatomy.units() if unit & keys]
    coarse = _ddmin(units, _fails(judge, roots))
    if coarse is None:
        return None
    return _ddmin([frozenset([key]) for key in sorted(coarse)], _fails(judge, roots))


def _fails(judge: Judge, roots: frozenset[Identity]) -> Callable[[Keys], bool]:
    return lambda keys: bool(judge([keys])[0].identities & roots)


def _ddmin(units: list[Keys], fails: Callable[[Keys], bool]) -> Keys | None:
    """A union of ``units`` that fails and of which no unit can be left out; None where all of them together do not."""
    if not units or not fails(_union(units)):
        return None
    pieces = 2
    while len(units) > 1:
        size = max(1, len(units) // pieces)
        chunks = [units[i : i + size] for i in range(0, len(units), size)]
        smaller = next((chunk for chunk in chunks if len(chunk) < len(units) and fails(_union(chunk))), None)
        if smaller is not None:
            units, pieces = smaller, 2
            continue
        complements = [[unit for unit in units if unit not in chunk] for chunk in chunks] if len(chunks) > 2 else []
        smaller = next((rest for rest in complements if fails(_union(rest))), None)
        if smaller is not None:
            units, pieces = smaller, max(pieces - 1, 2)
        elif size == 1:
            break
        else:
            pieces = min(2 * pieces, len(units))
    return _union(units)


def worth_training(anatomy: Anatomy, outcome: Outcome) -> list[Keys]:
    """Mixtures whose training tells culprits apart: each one, all guilty settings together; every unit where there is none."""
    if not outcome.culprits:
        return anatomy.units()
    code = [c.keys for c in outcome.culprits if any(anatomy.part(key).kind != "setting" for key in c.keys)]
    settings = _union(c.keys for c in outcome.culprits if c.keys not in code)
    return [*code, *([settings] if settings else [])]


def _without(anatomy: Anatomy, culprits: list[Keys], judge: Judge) -> dict[Keys, Verdict]:
    """The user's port with one culprit replaced: for each that is no mere number, and for all numbers together."""
    code = [keys for keys in culprits if any(anatomy.part(key).kind != "setting" for key in keys)]
    settings = [keys for keys in culprits if keys not in code]
    wanted = [*code, *([_union(settings)] if settings else [])]
    verdicts = judge([anatomy.keys - keys for keys in wanted])
    found = dict(zip(code, verdicts, strict=False))
    return found | dict.fromkeys(settings, verdicts[-1]) if settings else found


def _ordered(anatomy: Anatomy, found: list[Culprit]) -> tuple[Culprit, ...]:
    def rank(culprit: Culprit) -> tuple:
        is_setting = all(anatomy.part(key).kind == "setting" for key in culprit.keys)
        kinds = min(KINDS.index(anatomy.part(key).kind) for key in culprit.keys)
        roots = sorted(error.code for error in culprit.alone.errors if error.is_root)
        return is_setting, roots[:1], kinds, sorted(culprit.keys)

    return tuple(sorted(found, key=rank))


def _union(sets: Iterable[Keys]) -> Keys:
    return frozenset().union(*sets)
