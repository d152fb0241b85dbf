"""Which mixtures are trained, and what becomes of it: the part of ``parity bisect --train`` that runs in the driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from parity.bisect.document import TrainingEntry, trained_entry
from parity.bisect.part import Anatomy
from parity.bisect.search import Keys, Outcome, worth_training
from parity.bisect.trained import Run, Trained, conclusion, words
from parity.bisect.verdict import Verdict
from parity.bisect.workers import Workers, train_mixture, uniform_legal

# Two seeds show a fault that stops learning; what slows it down takes a study.
SEEDS = (0, 1)
LONGEST_S = 3_600.0


def training(
    anatomy: Anatomy, outcome: Outcome, steps: int, workers: Workers, on_done: Callable[[Any, Any], None]
) -> tuple[TrainingEntry, bool]:
    """Trains both ports, and what tells the culprits apart. Returns what was found and whether the user's port learns.

    Where the ladder is silent, parts are trained one by one only if the whole port does not learn.
    """
    (uniform,) = workers.run(uniform_legal, [None], lambda *_: None)
    if isinstance(uniform, Verdict):
        raise RuntimeError(uniform.reason)
    ends: list[Keys] = [frozenset(), anatomy.keys]
    wanted = worth_training(anatomy, outcome)
    runs = _runs(workers, [*ends, *(wanted if outcome.culprits else [])], steps, on_done)
    found = words(runs, uniform)
    if not outcome.culprits and _of(found, anatomy.keys).word != "learns" and _of(found, frozenset()).word == "learns":
        runs += _runs(workers, wanted, steps, on_done)
        found = words(runs, uniform)
    labels = {each.keys: _label(anatomy, each.keys) for each in found}
    entry = TrainingEntry(
        steps=steps,
        seeds=list(SEEDS),
        uniform_legal=uniform,
        sentence=conclusion(found, labels, anatomy.keys, steps),
        mixtures=[trained_entry(each) for each in found],
    )
    return entry, _of(found, anatomy.keys).word not in ("does not learn", "raises")


def _runs(workers: Workers, mixtures: Sequence[Keys], steps: int, on_done: Callable[[Any, Any], None]) -> list[Run]:
    work = [(keys, seed, steps) for keys in dict.fromkeys(mixtures) for seed in SEEDS]
    results = workers.run(train_mixture, work, on_done, LONGEST_S)
    return [
        Run(keys, seed, raised=found.reason) if isinstance(found, Verdict) else found
        for (keys, seed, _), found in zip(work, results, strict=True)
    ]


def _of(found: Sequence[Trained], keys: Keys) -> Trained:
    return next(each for each in found if each.keys == keys)


def _label(anatomy: Anatomy, keys: Keys) -> str:
    parts = [part for part in anatomy.parts if part.key in keys]
    if all(part.kind == "setting" for part in parts):
        return f"your settings ({', '.join(part.key for part in parts)})"
    if {part.group for part in parts} == {"module"} and len(parts) > 1:
        return "your module"
    return " and ".join(f"your {part.label}" if part.kind == "setting" else part.label for part in parts)
