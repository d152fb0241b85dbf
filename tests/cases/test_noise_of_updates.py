"""Float noise is no finding, and hides none: the bound of an update is how far SB3's own ends from itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cases import kink
from cases.climb import accused, climb

from parity.capture.sb3.sb3_reference import FLOATS, MOVES, _moved_by_floats


def test_a_correct_port_on_a_kink_is_accused_of_nothing() -> None:
    document = climb(kink.task(), "rllib")
    assert not [code for code in accused(document) if code in ("PAR603", "PAR701", "PAR801")], accused(document)
    rungs = document.ladder["rllib"]
    assert "float" in str(rungs["gradient"].reason) and "float" in str(rungs["update"].reason)
    assert document.exit_code == 0


@pytest.mark.parametrize("learner", [kink.GrowingRate, kink.Decaying])
def test_a_small_mistake_beside_the_kink_is_found(learner: Any) -> None:
    assert "PAR801" in accused(climb(kink.task(learner), "rllib"))


def test_every_weight_is_moved_and_by_few_floats_alone() -> None:
    layer = torch.nn.Linear(5, 4)
    moves = list(_moved_by_floats(layer))
    assert len(moves) == MOVES
    for moved in moves:
        for name, before in layer.named_parameters():
            after = dict(moved.named_parameters())[name].detach().numpy()
            floats = np.abs(after - before.detach().numpy()) / np.spacing(np.abs(before.detach().numpy()))
            assert (floats > 0).all() and (floats <= FLOATS + 1).all()  # a float is half as wide below a power of two
