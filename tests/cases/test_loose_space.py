"""What parity draws to probe a module stays inside what the environment showed: a loose space accuses nobody."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from climb import accused, climb
from loose_space import Module, Network, WithoutTheFlag, task

from parity import frameworks
from parity.capture.draws import draw_within, vary_constants
from parity.errors import CannotStart

GENERATOR = np.random.default_rng(0)
SHOWN = {
    "id": GENERATOR.choice([2.0, 5.0, 7.0], size=(40, 1)).astype(np.float32),
    "pair": (np.eye(4, dtype=np.int8)[GENERATOR.integers(4, size=40)], GENERATOR.normal(3, 0.1, (40, 2))),
    "still": np.full((40, 2), 4, np.int64),
}


def test_drawn_observations_stay_within_bounds_keep_ids_and_dtypes() -> None:
    drawn = draw_within(SHOWN, 100)
    assert set(drawn["id"].flat) == {2.0, 5.0, 7.0}
    hot, measured = drawn["pair"]
    assert (hot.sum(axis=1) == 1).all() and hot.dtype == np.int8
    low, high = SHOWN["pair"][1].min(axis=0), SHOWN["pair"][1].max(axis=0)
    assert (low <= measured).all() and (measured <= high).all()
    assert len(np.unique(measured[:, 0])) == 100  # and not the forty that were shown
    assert (drawn["still"] == 4).all()


def test_whole_numbers_of_one_drawn_observation_were_shown_together() -> None:
    def together(observations: Any) -> set[tuple[float, ...]]:
        ids, (hot, _) = observations["id"], observations["pair"]
        return {(float(i), *row) for i, row in zip(ids[:, 0], hot.tolist(), strict=True)}

    assert together(draw_within(SHOWN, 100)) <= together(SHOWN)


def test_only_what_was_constant_is_varied() -> None:
    drawn = draw_within(SHOWN, 100)
    possible = {**drawn, "still": GENERATOR.integers(9, size=(100, 2))}
    varied = vary_constants(SHOWN, drawn, possible)
    assert varied is not None
    assert (varied["still"] == possible["still"]).all()
    assert (varied["id"] == drawn["id"]).all()
    assert vary_constants({"id": SHOWN["id"]}, {"id": drawn["id"]}, {"id": drawn["id"]}) is None


@pytest.mark.parametrize("module", [None, Module], ids=["bare", "brought"])
def test_ids_within_a_box_of_loose_bounds_accuse_nobody(module: type | None) -> None:
    document = climb(task(module))
    assert document.exit_code == 0, document.findings
    assert accused(document) == []


def test_an_entry_left_out_that_was_constant_in_the_rollout_is_seen() -> None:
    assert accused(climb(task(WithoutTheFlag)))[0] == "PAR101"


def test_a_network_that_cannot_take_all_of_a_loose_space_may_be_trained() -> None:
    for name in ("sb3", "rllib"):
        frameworks.get(name).effective(task(None), "cpu", 1)


def test_a_network_that_cannot_take_what_the_environment_shows_is_bad_input() -> None:
    class TooFewIds(Network):
        def __init__(self, *spaces: object) -> None:
            super().__init__(*spaces)  # type: ignore[arg-type]
            self.ids.weight.data = self.ids.weight.data[:1]

    with pytest.raises(CannotStart, match="IndexError"):
        frameworks.get("sb3").effective(dataclasses.replace(task(None), network=TooFewIds), "cpu", 1)
