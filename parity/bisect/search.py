"""Finds the parts of a port that break the ladder, by a search over hybrids.

A hybrid is named by the set of its parts that are the user's; all others are the reference port's. Nothing here runs
anything: ``judge`` takes hybrids and returns the outcome of each one's ladder.

1. The reference port and the user's: if the first breaks, the fault is in the task; if the second holds, there is none.
2. From the reference port, one part of the user's at a time; groups first, their members where a group breaks.
3. A part that breaks there, with an error that the user's port shows, is a culprit. If the user's port does not show its
   errors, another part there makes up for them: the two belong together.
4. From the user's port, with all culprits replaced: where it still breaks, the search goes on for what does. If no part does
   alone, Zeller's ddmin finds a smallest set that breaks together (Zeller and Hildebrandt, "Simplifying and isolating
   failure-inducing input", IEEE Transactions on Software Engineering 28(2), 2002, section 3.2).
5. From the user's port, with each culprit replaced: whether that alone mends it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from parity.bisect.ladder_outcome import FIRST_NOISY_RUNG, Identity, LadderOutcome
from parity.bisect.parts import KINDS, PortParts

Keys = frozenset[str]
Judge = Callable[[Sequence[Keys]], list[LadderOutcome]]

# Sets that break only together are rare, and finding one takes a dozen ladders or two.
MOST_SETS = 3


@dataclasses.dataclass(frozen=True)
class Culprit:
    """Parts that break."""

    keys: Keys  # one part, or several that break only together
    alone: LadderOutcome  # the reference port with these parts of the user's
    without: LadderOutcome | None = None  # the user's port with these parts replaced; None where that was not tried


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What the search found."""

    reference: LadderOutcome  # of the reference port
    port: LadderOutcome  # of the user's
    culprits: tuple[Culprit, ...] = ()  # worst first: code before settings, lower rungs before higher ones
    then: tuple[Culprit, ...] = ()  # parts that break in the user's port once the culprits are replaced, and not before
    made_good: tuple[Culprit, ...] = ()  # parts that break in the reference port and not in the user's
    # The user's port with ``culprits`` and ``then`` replaced; None where nothing was searched for
    rest: LadderOutcome | None = None
    tried: tuple[tuple[Keys, LadderOutcome], ...] = ()  # every hybrid with its outcome, in the order of trying


def find_culprits(parts: PortParts, judge: Judge) -> SearchResult:
    """Searches between the reference port (no part is the user's) and the user's port (all are)."""
    judge = remembering = _Remembering(judge)
    everything = parts.keys
    reference, port = judge([frozenset(), everything])
    if not reference.holds or port.holds:
        return SearchResult(reference, port, tried=remembering.tried)
    alone = _breaking_alone(parts, judge)
    culprits = [keys for keys, outcome in alone.items() if _shows(outcome, port)]
    then: list[Keys] = []
    sets = 0
    (rest,) = judge([everything - _union(culprits)])
    while not rest.holds:
        replaced = everything - _union([*culprits, *then])
        left = [keys for keys in alone if keys not in culprits and keys not in then]
        if breaking := [keys for keys in left if _shows(alone[keys], rest)]:
            then += breaking
        elif mending := _mending(left, replaced, rest, judge):
            for keys, mended in mending.items():
                (culprits if mended & port.identities else then).append(keys)
        else:
            sets += 1
            smallest = _smallest_set(parts, replaced, rest.roots, judge) if sets <= MOST_SETS else None
            if smallest is None:
                break
            (alone[smallest],) = judge([smallest])
            (culprits if _shows(alone[smallest], port) else then).append(smallest)
        (rest,) = judge([everything - _union([*culprits, *then])])
    replaceable = settings_together(parts, culprits)
    outcomes = judge([everything - keys for keys in replaceable])
    without = dict(zip(replaceable, outcomes, strict=True))
    return SearchResult(
        reference,
        port,
        culprits=_worst_first(
            parts,
            # One of several settings is not among them: all were replaced together, and tried last.
            (Culprit(keys, alone[keys], without.get(keys, outcomes[-1])) for keys in culprits),
        ),
        then=_worst_first(parts, (Culprit(keys, alone[keys]) for keys in then)),
        made_good=_worst_first(
            parts, (Culprit(keys, alone[keys]) for keys in alone if keys not in culprits and keys not in then)
        ),
        rest=rest,
        tried=remembering.tried,
    )


class _Remembering:
    """A judge that is asked once about each hybrid."""

    def __init__(self, judge: Judge) -> None:
        self._judge, self._known = judge, dict[Keys, LadderOutcome]()

    def __call__(self, hybrids: Sequence[Keys]) -> list[LadderOutcome]:
        new = [keys for keys in dict.fromkeys(hybrids) if keys not in self._known]
        self._known |= dict(zip(new, self._judge(new), strict=True))
        return [self._known[keys] for keys in hybrids]

    @property
    def tried(self) -> tuple[tuple[Keys, LadderOutcome], ...]:
        return tuple(self._known.items())


def _breaking_alone(parts: PortParts, judge: Judge) -> dict[Keys, LadderOutcome]:
    """What breaks by itself in the reference port: single parts, and sets of a group's members that break only together."""
    groups = parts.groups()
    broken = {group: outcome for group, outcome in zip(groups, judge(groups), strict=True) if not outcome.holds}
    # All of them at once: they run side by side.
    judge([member for group in broken for member in _singly(group)])
    breaking: dict[Keys, LadderOutcome] = {}
    for group, outcome in broken.items():
        members = _singly(group)
        alone = {keys: each for keys, each in zip(members, judge(members), strict=True) if not each.holds}
        breaking |= alone
        unexplained = outcome.roots - {identity for each in alone.values() for identity in each.identities}
        smallest = _ddmin(members, unexplained, judge) if unexplained else None
        # Parts that break already one by one say nothing more by breaking otherwise together.
        if smallest is not None and not smallest <= _union(alone):
            (breaking[smallest],) = judge([smallest])
    return breaking


def _shows(alone: LadderOutcome, whole: LadderOutcome) -> bool:
    """Whether an error of the first ladder is one of the second, and a root in one of the two.

    From gradients on, only what is a root in the second counts: every fault below shows there too, and float noise may look
    the same.
    """
    below_noise = {error.identity for error in alone.root_errors if error.rung < FIRST_NOISY_RUNG}
    return bool(below_noise & whole.identities or alone.identities & whole.roots)


def _mending(left: list[Keys], replaced: Keys, rest: LadderOutcome, judge: Judge) -> dict[Keys, frozenset[Identity]]:
    """Parts that break otherwise in the reference port than in the user's -> the roots of ``rest`` that go with them."""
    outcomes = judge([replaced - keys for keys in left])
    gone = {keys: rest.roots - outcome.identities for keys, outcome in zip(left, outcomes, strict=True)}
    return {keys: roots for keys, roots in gone.items() if roots}


def _smallest_set(parts: PortParts, keys: Keys, roots: frozenset[Identity], judge: Judge) -> Keys | None:
    """A smallest set of ``keys`` that shows one of these errors in the reference port; None if there is none."""
    coarse = _ddmin([group & keys for group in parts.groups() if group & keys], roots, judge)
    return None if coarse is None else _ddmin(_singly(coarse), roots, judge)


def _ddmin(sets: list[Keys], roots: frozenset[Identity], judge: Judge) -> Keys | None:
    """A union of ``sets`` that shows one of these errors and of which no set can be left out; None if all together do not."""

    def breaks(chosen: Iterable[Keys]) -> bool:
        return bool(judge([_union(chosen)])[0].identities & roots)

    if not sets or not breaks(sets):
        return None
    pieces = 2
    while len(sets) > 1:
        size = max(1, len(sets) // pieces)
        chunks = [sets[i : i + size] for i in range(0, len(sets), size)]
        complements = [[each for each in sets if each not in chunk] for chunk in chunks] if len(chunks) > 2 else []
        if smaller := next((chunk for chunk in chunks if len(chunk) < len(sets) and breaks(chunk)), None):
            sets, pieces = smaller, 2
        elif smaller := next((complement for complement in complements if breaks(complement)), None):
            sets, pieces = smaller, max(pieces - 1, 2)
        elif size == 1:
            break
        else:
            pieces = min(2 * pieces, len(sets))
    return _union(sets)


def settings_together(parts: PortParts, culprits: Iterable[Keys]) -> list[Keys]:
    """The culprits, those that are settings as one: their ladders all say the same."""
    culprits = list(culprits)
    code = [keys for keys in culprits if not parts.are_settings(keys)]
    settings = _union(keys for keys in culprits if parts.are_settings(keys))
    return [*code, *([settings] if settings else [])]


def _worst_first(parts: PortParts, culprits: Iterable[Culprit]) -> tuple[Culprit, ...]:
    def rank(culprit: Culprit) -> tuple:
        kind = min(KINDS.index(part.kind) for part in parts.of(culprit.keys))
        return parts.are_settings(culprit.keys), sorted(culprit.alone.codes)[:1], kind, sorted(culprit.keys)

    return tuple(sorted(culprits, key=rank))


def _singly(keys: Keys) -> list[Keys]:
    return [frozenset([key]) for key in sorted(keys)]


def _union(sets: Iterable[Keys]) -> Keys:
    return frozenset().union(*sets)
