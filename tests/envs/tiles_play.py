"""What the tests of the tiles problem share."""

from __future__ import annotations

from typing import Any

import numpy as np


def legal(observation: dict[str, Any], generator: np.random.Generator) -> int:
    return int(generator.choice(np.flatnonzero(observation["action_mask"])))


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Bitwise equal entries of equal dtype."""
    assert one.keys() == other.keys()
    for key in one:
        assert np.array_equal(one[key], other[key]), key
        assert np.asarray(one[key]).dtype == np.asarray(other[key]).dtype, key
