"""Rung 0, what the learning agent meets in the multi-agent environment against the single-agent environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from parity.ladder.difference import Difference, elementwise
from parity.ladder.rung_input import RungInput, RungReport, figures

_WORDS = {
    "PAR030": ("observations", "what it sees"),
    "PAR031": ("masks", "what is legal"),
    "PAR032": ("rewards", "what it is paid"),
    "PAR033": ("ends", "when an episode ends"),
}


def view(sheet: RungReport, evidence: RungInput) -> None:
    """Same seed, same actions of the learning agent: same observations, masks, rewards and ends."""
    if evidence.facts.get("plays_task_env"):
        return  # what it plays is the single-agent environment itself; the rollout's rung compares what arrives
    facts = evidence.fact("view", parts=("build", "view"))
    where = f"agent {evidence.facts['learning_agent']}"
    if facts["spaces"] is not None:
        sheet.report("PAR034", where, f"its observation space: {facts['spaces']}", {"difference": facts["spaces"]})
    elif facts.get("bounds") is not None:
        message = f"only the bounds of its observation space differ: {facts['bounds'][:300]}"
        sheet.report("PAR034", where, message, severity="warning")
    if facts.get("unreadable_mask"):
        sheet.report("PAR039", where, facts["unreadable_mask"], module=evidence.learning)
    for place, times in facts.get("contradictions", {}).items():
        message = f"{facts['convention']} is used; {place} showed another mask {times} times"
        sheet.report("PAR038", "single-agent environment", message, {"used": facts["convention"], place: times})
    unlike = repetition(evidence)
    if unlike is not None:
        # What the multi-agent side shows or refuses then says nothing about it.
        message = f"two copies of the single-agent environment with one seed and the same actions differ ({unlike})"
        sheet.report("PAR035", "single-agent environment", message, {"differ": unlike})
        return
    if facts.get("unrepeatable"):
        message = f"two of them on one seed and the same actions differ ({facts['unrepeatable']})"
        sheet.report("PAR048", "multi-agent environment", message, {"differs": facts["unrepeatable"]})
    elif facts.get("played_otherwise"):
        message = (
            f"the same calls on a new environment give something else than in the rollout ({facts['played_otherwise']})"
        )
        sheet.report("PAR049", "env runner", message, {"differs": facts["played_otherwise"]})
    for episode, error in facts["stopped"].items():
        found = {"episodes": len(facts["stopped"]), "exception": error}
        sheet.report("PAR036", f"{where}, episode {episode}", f"the multi-agent environment raised: {error}", found)
        break
    if "view/episode" not in evidence.numbers:
        if facts["stopped"]:
            return
        evidence.need("view/episode")
    reported: set[str] = set()
    for code, difference in _differences(evidence, "multi"):
        if sheet.compare(difference) or code in reported:
            continue
        reported.add(code)
        name, meaning = _WORDS[code]
        message = f"{name} differ by up to {difference.max_abs:.3g} ({difference.where}): {meaning} is not the same"
        more = _about_masks(evidence) if code == "PAR031" else _Masks("", ())
        sheet.report(
            code, f"{where}, {difference.where}", message + more.words, figures(difference), explains=more.explains
        )


class _Masks(NamedTuple):
    words: str
    explains: tuple[str, ...]


def _about_masks(evidence: RungInput) -> _Masks:
    """What two sides' masks that differ have to do with each other."""
    single, multi = (evidence.numbers.get(f"view/{side}/mask") for side in ("single", "multi"))
    if single is None or multi is None or single.shape != multi.shape:
        return _Masks("", ())
    some = ~single.all(axis=1)
    inverted = bool(some.any()) and bool((multi[some] != single[some]).all())
    words = "; it is the other way round, 1 where an action is illegal" if inverted else ""
    return _Masks(words, ("PAR005",) if inverted else ())


def repetition(evidence: RungInput) -> str | None:
    """Where two copies of the single-agent environment part on one seed and the same actions; None if nowhere was seen."""
    if refused := evidence.facts.get("view", {}).get("unlike"):
        return f"one refused an action that the other took: {refused}"
    if "view/episode" not in evidence.numbers:
        return None
    differences = sorted(_differences(evidence, "again"), key=lambda item: item[0])
    first = next((difference for _, difference in differences if not difference), None)
    return None if first is None else f"by up to {first.max_abs:.3g}, {first.where}"


def _differences(evidence: RungInput, side: str) -> Iterator[tuple[str, Difference]]:
    """Every comparison with ``side``, by the code of its finding."""
    episodes, steps = evidence.need("view/episode"), evidence.need("view/step")

    def rows(row: int) -> str:
        return f"episode {int(episodes[row])}, step {int(steps[row])}"

    single = evidence.need_below("view/single")
    other = evidence.numbers.below(f"view/{side}")
    codes = {"mask": "PAR031", "reward": "PAR032", "terminated": "PAR033", "truncated": "PAR033"}
    # Nobody acts at an end, and nobody looks at what follows a termination: a port may show anything there, or nothing.
    terminated = single["terminated"].astype(bool)
    unused = {"PAR030": terminated, "PAR031": terminated | single["truncated"].astype(bool)}
    for name, reference in single.items():
        code = codes.get(name, "PAR030")
        label = name.removeprefix("obs/")
        if name in other:
            ours, theirs = _numbers(other[name]), _numbers(reference)
            if code in unused and ours.shape == theirs.shape:
                ours = np.where(unused[code].reshape(-1, *[1] * (ours.ndim - 1)), theirs, ours)
            yield code, elementwise(ours, theirs, evidence.tolerance, label, rows)
        elif evidence.facts["view"]["spaces"] is None:
            yield code, Difference(np.inf, np.inf, np.inf, f"{label}: missing")


def _numbers(array: np.ndarray) -> np.ndarray:
    """Booleans and integers as floats; a trailing axis of 1 is no difference (RLlib keeps Discrete entries ``[B]``)."""
    array = array.astype(np.float64)
    return array[..., 0] if array.ndim == 2 and array.shape[1] == 1 else array
