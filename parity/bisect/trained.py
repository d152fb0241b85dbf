"""What short trainings of mixtures say: pure functions of returns. An indication, no verdict: seeds and steps are few."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from parity.verdict.learning import ENOUGH_OF_SB3, TOO_LITTLE_OF_SB3

Word = Literal["learns", "does not learn", "cannot be told", "raises"]


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        keys: the user's parts in the reference port.
        seed: of the trial.
        start, end: mean return of deterministic play before and after; NaN where it raised.
        raised: what it raised, else None.
    """

    keys: frozenset[str]
    seed: int
    start: float = math.nan
    end: float = math.nan
    raised: str | None = None
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Trained:
    """All seeds of one mixture.

    Attributes:
        share: of what the reference port gains over uniform legal play in as many steps, the mean over seeds.
    """

    keys: frozenset[str]
    runs: tuple[Run, ...]
    word: Word
    share: float

    @property
    def end(self) -> float:
        return sum(run.end for run in self.runs) / len(self.runs)


def words(runs: Sequence[Run], uniform_legal: float) -> list[Trained]:
    """The mixtures in their order, the reference port (no part of the user's) among them.

    A mixture learns where every seed gains at least half of what the reference port gains on average, and does not where
    every seed gains less than a quarter (the shares of `parity.verdict.learning`). Where the reference port itself gains
    nothing, nothing can be told.
    """
    by_keys: dict[frozenset[str], list[Run]] = {}
    for run in runs:
        by_keys.setdefault(run.keys, []).append(run)
    reference = [run.end - uniform_legal for run in by_keys[frozenset()]]
    gain = sum(reference) / len(reference)
    # By luck of the evaluation's episodes one seed may lie above uniform play: all have to.
    usable = min(reference) > 0 and not math.isnan(gain)
    return [_trained(keys, tuple(of_mixture), uniform_legal, gain, usable) for keys, of_mixture in by_keys.items()]


def _trained(keys: frozenset[str], runs: tuple[Run, ...], uniform_legal: float, gain: float, usable: bool) -> Trained:
    if any(run.raised is not None for run in runs):
        return Trained(keys, runs, "raises", math.nan)
    shares = [(run.end - uniform_legal) / gain for run in runs] if usable else [math.nan]
    share = sum(shares) / len(shares)
    if not usable:
        word: Word = "cannot be told"
    elif min(shares) >= ENOUGH_OF_SB3:
        word = "learns"
    elif max(shares) < TOO_LITTLE_OF_SB3:
        word = "does not learn"
    else:
        word = "cannot be told"
    return Trained(keys, runs, word, share)


def conclusion(
    found: Sequence[Trained], labels: dict[frozenset[str], str], everything: frozenset[str], steps: int
) -> str:
    """What the trainings say together, with how little they are."""
    by_keys = {each.keys: each for each in found}
    reference, port = by_keys[frozenset()], by_keys[everything]
    seeds = len(reference.runs)
    told = f"Trained for {steps} steps from {seeds} seeds, which indicates and decides nothing"
    if reference.word != "learns":
        return f"{told}: the reference port itself does not get above uniform legal play; give --train more steps."
    raised = next((run.raised for run in port.runs if run.raised is not None), None)
    yours = {
        "raises": f"yours raises {raised}",
        "cannot be told": f"yours {port.end:.3g} (whether it learns cannot be told)",
    }.get(port.word, f"yours {port.end:.3g} (it {port.word})")
    ends = f"{told}: the reference port returns {reference.end:.3g}, {yours}"
    bad = [
        each
        for each in found
        if each.word in ("does not learn", "raises") and each.keys not in (frozenset(), everything)
    ]
    good = [each for each in found if each.word == "learns" and each.keys and each.keys != everything]
    if port.word == "learns":
        return f"{ends}: what differs does not keep it from learning."
    parts = []
    if bad:
        parts.append(f"what keeps it from learning is {_and([labels[each.keys] for each in bad])}")
    if good:
        parts.append(f"the reference port learns with {_and([labels[each.keys] for each in good])}")
    if not bad:
        parts.append("no part of it alone keeps the reference port from learning")
    return f"{ends}; {'; '.join(parts)}."


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)
