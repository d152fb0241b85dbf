"""Adam makes a step of the learning rate out of float noise on a zero gradient: no defect, and nothing else is let off."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from captures import Collected

from parity.ladder.run_rungs import run_rungs
from parity.ladder.rungs.shares import NOTHING, but_noise
from parity.selftest.good import SORTER as LEARNER

GRADIENT = np.array([0.2, 3e-9, 0.0, -0.1])
SB3 = {"w": np.array([1.0, 1.0, 1.0, 1.0])}


def cleaned(ours: list[float], gradient: np.ndarray = GRADIENT, furthest: float = 0.1) -> list[float]:
    given = {"w": np.array(ours)}
    return but_noise(given, SB3, {"w": gradient}, {"w": GRADIENT * [1, 0, 0, 1]}, furthest)["w"].tolist()


def test_an_element_whose_gradient_is_noise_takes_sb3s_value() -> None:
    assert cleaned([1.0, 1.05, 1.0, 1.0]) == [1.0, 1.0, 1.0, 1.0]


def test_an_element_with_a_gradient_keeps_its_difference() -> None:
    assert cleaned([1.05, 1.0, 1.0, 0.95]) == [1.05, 1.0, 1.0, 0.95]
    assert cleaned([1.0, 1.05, 1.0, 1.0], np.array([0.2, 1e-6, 0.0, -0.1]))[1] == 1.05


def test_an_element_that_moved_without_any_gradient_keeps_its_difference() -> None:
    """Weight decay, say."""
    assert cleaned([1.0, 1.0, 0.99, 1.0]) == [1.0, 1.0, 0.99, 1.0]


def test_an_element_that_moved_further_than_steps_do_keeps_its_difference() -> None:
    assert cleaned([1.0, 1.2, 1.0, 1.0])[1] == 1.2


@pytest.mark.parametrize(("of_sb3s", "named"), [(0.98, False), (0.5, True), (0.0, True)])
def test_a_small_gradient_is_missing_only_where_it_is_not_sb3s(
    collected: Collected, of_sb3s: float, named: bool
) -> None:
    """A value head with a large scale: against its gradient the policy's is as small as noise, on either side of the line."""
    capture = copy.deepcopy(collected("one-agent", "rllib"))
    gradient = capture.gradient[LEARNER]
    raw = gradient.raw
    unit = raw["pi.weight"] / np.linalg.norm(raw["pi.weight"])
    small = NOTHING * max(float(np.linalg.norm(array)) for array in raw.values()) * 1.01
    for run in ("sb3", "advantages"):
        gradient.sb3[run]["network.policy.weight"] = unit * small
    for gradients in (gradient.raw, gradient.clipped):
        gradients["pi.weight"] = unit * small * of_sb3s
    codes = {each.code for each in run_rungs(capture).raw_findings}
    assert ("PAR602" in codes) == named
