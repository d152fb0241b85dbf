"""Rung 0, what the learning agent meets in the multi-agent environment against the single-agent environment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parity.ladder.difference import Difference, elementwise
from parity.ladder.rung_input import RungInput, RungReport, figures
from parity.ladder.tolerances import Tolerance
from parity.results.capture import Contract, Missing, View, ViewSide
from parity.results.capture.base import VIEW

_WORDS = {
    "PAR030": "observations differ by up to {}: the agent does not see the same",
    "PAR031": "masks differ by up to {}: other actions are legal",
    "PAR032": "rewards differ by up to {}: the agent is not paid the same",
    "PAR033": "ends differ by up to {}: episodes do not end in the same step or the same way",
}
_RESEEDS = (
    "after a reset with a seed two copies of the {}-agent environment show the same episode, and then different ones: a reset "
    "without a seed takes a new generator from entropy. Only first episodes are compared here"
)
_TRIED = {
    True: "env=lambda: parity.Repeatable(MyEnv)  # MyEnv: what env is now; tried, two copies are alike then",
    False: "super().reset(seed=seed), and only self.np_random afterwards; parity.Repeatable was tried and does not mend it",
}
# Where observations differ too and other agents play: the learning agent is then in other states.
_OTHERS_PLAY = (
    "See PAR030 first: in another state other masks and rewards are right. Let both sides play the other agents alike, or "
    'Task(..., declared={{"{}": "the other agents draw their actions by other dice"}})'
)


def view(report: RungReport, inputs: RungInput, contract: Contract) -> None:
    """Same seed, same actions of the learning agent: same observations, masks, rewards and ends."""
    if inputs.context.plays_task_env:
        return  # what it plays is the single-agent environment itself; the rollout's rung compares what arrives
    view, where = contract.view, f"agent {inputs.context.learning_agent}"
    if view.spaces is not None:
        report.report("PAR034", where, f"its observation space: {view.spaces}", {"difference": view.spaces})
    elif view.bounds is not None:
        message = f"only the bounds of its observation space differ: {view.bounds[:300]}"
        report.report("PAR034", where, message, severity="warning")
    if view.unreadable_mask:
        report.report("PAR039", where, view.unreadable_mask, module=inputs.learning)
    for place, times in view.contradictions.items():
        message = f"{view.convention} is used; {place} showed another mask {times} times"
        report.report("PAR038", "single-agent environment", message, {"used": view.convention, place: times})
    unlike = repetition(view, inputs.tolerance)
    if unlike is not None:
        # What the multi-agent side shows or refuses then says nothing about it.
        message = f"two copies of the single-agent environment with one seed and the same actions differ ({unlike})"
        report.report("PAR035", "single-agent environment", message, {"differ": unlike}, fix=_repeatable(view))
        return
    if "single" in view.reseeds:
        report.report("PAR035", "single-agent environment", _RESEEDS.format("single"), fix=_repeatable(view))
    elif "multi" in view.reseeds:
        report.report("PAR062", "multi-agent environment", _RESEEDS.format("multi"))
    if view.unrepeatable:
        message = f"two of them on one seed and the same actions differ ({view.unrepeatable})"
        report.report("PAR048", "multi-agent environment", message, {"differs": view.unrepeatable})
    elif view.played_otherwise:
        message = (
            f"the same calls on a new environment give something else than in the rollout ({view.played_otherwise})"
        )
        report.report("PAR049", "env runner", message, {"differs": view.played_otherwise})
    for episode, error in list(view.stopped.items())[:1]:
        evidence = {"episodes": len(view.stopped), "exception": error}
        report.report("PAR036", f"{where}, episode {episode}", f"the multi-agent environment raised: {error}", evidence)
    if view.episode is None:
        if view.stopped:
            return
        raise Missing("view", VIEW)
    several = contract.has("env_contract") and len(contract.env_contract.possible) > 1
    _compare(report, view, where, inputs.tolerance, several)


def _repeatable(view: View) -> str | None:
    """The remedy that was tried; None for the rule's own."""
    return None if view.made_repeatable is None else _TRIED[view.made_repeatable]


def _compare(report: RungReport, view: View, where: str, tolerance: Tolerance, several: bool) -> None:
    """One finding for each of observations, masks, rewards and ends. ``several``: other agents play in it too."""
    reported: set[str] = set()
    differences = list(_differences(view, view.multi, tolerance))
    others_play = several and any(code == "PAR030" and not difference for code, difference in differences)
    for code, difference in differences:
        if report.compare(difference) or code in reported:
            continue
        reported.add(code)
        message = _WORDS[code].format(f"{difference.max_abs:.3g} ({difference.where})")
        explains: tuple[str, ...] = ()
        if code == "PAR031" and _is_inverted(view):
            message, explains = f"{message}; the mask is inverted, 1 where an action is illegal", ("PAR005",)
        fix = _OTHERS_PLAY.format(code) if others_play and code != "PAR030" else None
        report.report(code, f"{where}, {difference.where}", message, figures(difference), fix=fix, explains=explains)


def _is_inverted(view: View) -> bool:
    """Whether one side's mask is the other's negation wherever the single-agent environment forbids something."""
    single, multi = view.single.optional("mask"), view.multi.optional("mask")
    if single is None or multi is None or single.shape != multi.shape:
        return False
    some = ~single.all(axis=1)
    return bool(some.any()) and bool((multi[some] != single[some]).all())


def repetition(view: View, tolerance: Tolerance) -> str | None:
    """Where two copies of the single-agent environment part on one seed and the same actions; None if nowhere was seen."""
    if view.unlike:
        return f"one refused an action that the other took: {view.unlike}"
    if view.episode is None:
        return None
    differences = sorted(_differences(view, view.again, tolerance), key=lambda item: item[0])
    first = next((difference for _, difference in differences if not difference), None)
    return None if first is None else f"by up to {first.max_abs:.3g}, {first.where}"


def place(view: View, row: int) -> str:
    """A row of the view, in words."""
    assert view.episode is not None and view.step is not None
    return f"episode {int(view.episode[row])}, step {int(view.step[row])}"


def _differences(view: View, side: ViewSide, tolerance: Tolerance) -> Iterator[tuple[str, Difference]]:
    """Every comparison of the single-agent environment with ``side``, by the code of its finding."""
    single = view.single
    terminated = single.terminated.astype(bool)
    # Nobody acts at an end, and nobody looks at what follows a termination: a port may show anything there, or nothing.
    unused = {"PAR030": terminated, "PAR031": terminated | single.truncated.astype(bool)}
    for code, name, reference, other in _columns(single, side):
        if other is not None:
            ours, theirs = _as_floats(other), _as_floats(reference)
            if code in unused and ours.shape == theirs.shape:
                ours = np.where(unused[code].reshape(-1, *[1] * (ours.ndim - 1)), theirs, ours)
            yield code, elementwise(ours, theirs, tolerance, name, lambda row: place(view, row))
        elif view.spaces is None:
            yield code, Difference(np.inf, np.inf, np.inf, f"{name}: missing")


def _columns(single: ViewSide, side: ViewSide) -> Iterator[tuple[str, str, np.ndarray, np.ndarray | None]]:
    """Code of the finding, name, the single-agent environment's column and the other side's, where it has one."""
    for code, name in (
        ("PAR032", "reward"), ("PAR033", "terminated"), ("PAR033", "truncated"), ("PAR031", "mask"),
    ):  # fmt: skip
        if single.has(name):
            yield code, name, getattr(single, name), side.optional(name)
    others = side.optional("observations") or {}
    for name, reference in single.observations.items():
        yield "PAR030", name, reference, others.get(name)


def _as_floats(array: np.ndarray) -> np.ndarray:
    """Booleans and integers as floats; a trailing axis of 1 is no difference (RLlib keeps Discrete entries ``[B]``)."""
    array = array.astype(np.float64)
    return array[..., 0] if array.ndim == 2 and array.shape[1] == 1 else array
