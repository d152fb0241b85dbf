"""Short trainings of hybrids, for ``--train``: which ones are trained, and what their returns say.

An indication and no verdict: seeds and steps are few.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from parity.bisect.parts import PortParts
from parity.bisect.search import Keys, SearchResult, settings_together
from parity.errors import in_words
from parity.results.bisect import TrainedEntry, TrainingEntry
from parity.verdict.learning import ENOUGH_OF_SB3, TOO_LITTLE_OF_SB3

# Two seeds show a fault that stops learning; what slows it down takes a study.
SEEDS = (0, 1)
LONGEST_TRAINING_S = 3_600.0
REFERENCE: Keys = frozenset()


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of the reference port with these parts of the user's."""

    keys: Keys
    end: float = math.nan  # mean return of deterministic play after training; NaN where it raised
    raised: str | None = None


def train_and_tell(
    parts: PortParts,
    result: SearchResult,
    steps: int,
    uniform_legal: float,
    train: Callable[[Sequence[tuple[Keys, int]]], list[Run]],
) -> tuple[TrainingEntry, bool]:
    """Trains both ports, and hybrids that tell the culprits apart.

    Where the ladder names no culprit, parts are trained one by one only if the whole port does not learn.

    Args:
        steps: environment steps of each training.
        uniform_legal: mean return of uniform play over legal actions.
        train: trains each of the hybrids from a seed.

    Returns:
        What was found, and whether nothing says that the user's port does not learn.
    """
    wanted = settings_together(parts, [culprit.keys for culprit in result.culprits]) or parts.groups()

    def runs_of(hybrids: Sequence[Keys]) -> list[Run]:
        return train([(keys, seed) for keys in dict.fromkeys(hybrids) for seed in SEEDS])

    runs = runs_of([REFERENCE, parts.keys, *(wanted if result.culprits else [])])
    trained = learning_of(runs, uniform_legal)
    if not result.culprits and trained[parts.keys].says != "learns" and trained[REFERENCE].says == "learns":
        trained = learning_of(runs + runs_of(wanted), uniform_legal)
    labels = {keys: _label(parts, keys) for keys in trained if keys}
    entry = TrainingEntry(
        steps=steps,
        seeds=list(SEEDS),
        uniform_legal=uniform_legal,
        sentence=conclusion(trained, labels, parts.keys, steps),
        mixtures=list(trained.values()),
    )
    return entry, trained[parts.keys].says not in ("does not learn", "raises")


def learning_of(runs: Sequence[Run], uniform_legal: float) -> dict[Keys, TrainedEntry]:
    """What the runs of each hybrid say, by its parts; the reference port must be among them.

    A hybrid learns where every seed gains at least half of what the reference port gains on average, and does not where
    every seed gains less than a quarter (the shares of `parity.verdict.learning`). Where the reference port itself gains
    nothing, nothing can be told.
    """
    by_keys: dict[Keys, list[Run]] = {}
    for run in runs:
        by_keys.setdefault(run.keys, []).append(run)
    gains = [run.end - uniform_legal for run in by_keys[REFERENCE]]
    gain = sum(gains) / len(gains)
    # One seed may lie above uniform play by luck of the evaluation's episodes: all have to. A run that raised has NaN.
    usable = min(gains) > 0 and not math.isnan(gain)
    return {keys: _entry(keys, runs, uniform_legal, gain if usable else math.nan) for keys, runs in by_keys.items()}


def _entry(keys: Keys, runs: Sequence[Run], uniform_legal: float, gain: float) -> TrainedEntry:
    raised = next((run.raised for run in runs if run.raised is not None), None)
    shares = [(run.end - uniform_legal) / gain for run in runs]
    entry = TrainedEntry(
        parts=sorted(keys),
        ends=[run.end for run in runs],
        share=sum(shares) / len(shares),
        says="cannot be told",
        raised=raised,
    )
    if raised is not None:
        entry.says = "raises"
    elif min(shares) >= ENOUGH_OF_SB3:
        entry.says = "learns"
    elif max(shares) < TOO_LITTLE_OF_SB3:
        entry.says = "does not learn"
    return entry


def conclusion(trained: dict[Keys, TrainedEntry], labels: dict[Keys, str], everything: Keys, steps: int) -> str:
    """What the trainings say together, with how little they are. ``labels``: the hybrids' user parts in words."""
    reference, port = trained[REFERENCE], trained[everything]
    start = f"Trained for {steps} steps from {len(reference.ends)} seeds, which indicates and decides nothing"
    if reference.says != "learns":
        return f"{start}: the reference port itself does not get above uniform legal play; give --train more steps."
    yours = {
        "raises": f"yours raises {port.raised}",
        "cannot be told": f"yours {port.end:.3g} (whether it learns cannot be told)",
    }.get(port.says, f"yours {port.end:.3g} (it {port.says})")
    returns = f"{start}: the reference port returns {reference.end:.3g}, {yours}"
    if port.says == "learns":
        return f"{returns}: what differs does not keep it from learning."
    hybrids = {keys: entry for keys, entry in trained.items() if keys not in (REFERENCE, everything)}
    bad = [labels[keys] for keys, entry in hybrids.items() if entry.says in ("does not learn", "raises")]
    good = [labels[keys] for keys, entry in hybrids.items() if entry.says == "learns"]
    clauses = [
        f"what keeps it from learning is {in_words(bad)}" if bad else "",
        f"the reference port learns with {in_words(good)}" if good else "",
        "" if bad else "no part of it alone keeps the reference port from learning",
    ]
    return f"{returns}; {'; '.join(filter(None, clauses))}."


def _label(parts: PortParts, keys: Keys) -> str:
    if parts.are_settings(keys):
        return f"your settings ({', '.join(part.key for part in parts.of(keys))})"
    if len(keys) > 1 and {part.group for part in parts.of(keys)} == {"module"}:
        return "your module"
    return parts.in_words(keys)
