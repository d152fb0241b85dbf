"""What short trainings of hybrids say, from returns alone."""

from __future__ import annotations

import math

import pytest

from parity.bisect.short_training import Run, conclusion, learning_of

ALL = frozenset({"module.value", "lr"})
VALUE, LR, NONE = frozenset({"module.value"}), frozenset({"lr"}), frozenset[str]()
LABELS = {NONE: "", ALL: "", VALUE: "the value function of your module (M)", LR: "your settings (lr)"}


def runs(**ends: tuple[float, float]) -> list[Run]:
    keys = {"reference": NONE, "port": ALL, "value": VALUE, "lr": LR}
    return [Run(keys[name], end) for name, of_name in ends.items() for end in of_name]


def test_what_keeps_it_from_learning_is_named_and_what_does_not_is_too() -> None:
    trained = learning_of(
        runs(reference=(1.0, 0.9), port=(0.31, 0.3), value=(0.3, 0.32), lr=(0.9, 0.8)), uniform_legal=0.3
    )
    assert {keys: entry.says for keys, entry in trained.items()} == {
        NONE: "learns", ALL: "does not learn", VALUE: "does not learn", LR: "learns"
    }  # fmt: skip
    told = conclusion(trained, LABELS, ALL, 4096)
    assert (
        "yours 0.305 (it does not learn); what keeps it from learning is the value function of your module (M)" in told
    )
    assert told.endswith("the reference port learns with your settings (lr).")
    assert told.startswith("Trained for 4096 steps from 2 seeds, which indicates and decides nothing")


def test_seeds_that_disagree_cannot_be_told() -> None:
    trained = learning_of(runs(reference=(1.0, 1.0), port=(0.9, 0.1)), uniform_legal=0.0)
    assert trained[ALL].says == "cannot be told" and trained[ALL].share == pytest.approx(0.5)


def test_where_the_reference_gains_nothing_nothing_is_told() -> None:
    trained = learning_of(runs(reference=(0.5, -0.1), port=(0.9, 0.9)), uniform_legal=0.0)
    assert {entry.says for entry in trained.values()} == {"cannot be told"}
    assert "give --train more steps" in conclusion(trained, LABELS, ALL, 64)


def test_a_hybrid_that_raises_is_said_to() -> None:
    broken = Run(ALL, raised="KeyError: 'advantages'")
    trained = learning_of([*runs(reference=(1.0, 1.0)), broken, *runs(value=(0.9, 0.9))], uniform_legal=0.0)
    assert trained[ALL].says == "raises" and math.isnan(trained[ALL].share)
    assert "no part of it alone keeps the reference port from learning" in conclusion(trained, LABELS, ALL, 64)


def test_a_port_that_learns_is_not_blamed_for_what_differs() -> None:
    trained = learning_of(runs(reference=(1.0, 1.0), port=(0.9, 0.8), lr=(0.8, 0.9)), uniform_legal=0.0)
    assert conclusion(trained, LABELS, ALL, 64).endswith("what differs does not keep it from learning.")
