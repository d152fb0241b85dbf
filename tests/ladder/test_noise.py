"""Adam makes a step of the learning rate out of float noise on a zero gradient: no defect, and nothing else is let off."""

from __future__ import annotations

import numpy as np

from parity.ladder.rungs.shares import but_noise

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
