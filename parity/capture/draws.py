"""Draws observations that stay inside what an environment showed: spaces may be looser than what networks can take."""

from __future__ import annotations

from typing import Any

import numpy as np
import tree

# A space with values beyond says nothing about what a network is made for.
WIDE = 1e3


def draw_within(shown: Any, rows: int, seed: int = 0) -> Any:
    """Observations of the same structure, ``[rows, …]``, from ``shown``, arrays ``[N, …]`` nested in dicts and tuples.

    Every element stays within the bounds that it was seen in. Elements that were always whole (ids, counts, flags, integer
    dtypes) keep the values of one observation that was shown, in all entries together: an id stays an id, a one-hot vector
    one-hot, a length that of its sequence. The others are uniform between their bounds.
    """
    generator = np.random.default_rng(seed)
    size = len(tree.flatten(shown)[0])
    picked = generator.integers(size, size=rows)

    def draw(values: np.ndarray) -> np.ndarray:
        taken = values[picked]
        if values.dtype.kind != "f":
            return taken
        finite = np.isfinite(values).all(axis=0)
        whole = (values == np.round(values)).all(axis=0) | ~finite
        low, high = (np.where(finite, bound, 0.0) for bound in (values.min(axis=0), values.max(axis=0)))
        # As parts of the bounds, whose difference may be more than a float holds.
        share = generator.random((rows, *values.shape[1:]))
        return np.where(whole, taken, low * (1 - share) + high * share).astype(values.dtype)

    return tree.map_structure(draw, shown)


def whole_rows(shown: Any, rows: int, seed: int = 0) -> Any:
    """``rows`` of the observations that were shown, each as it was."""
    picked = np.random.default_rng(seed).integers(len(tree.flatten(shown)[0]), size=rows)
    return tree.map_structure(lambda values: values[picked], shown)


def vary_constants(shown: Any, base: Any, possible: Any, seed: int = 1) -> Any | None:
    """Drawn observations in which elements that were the same in all that was shown have other values.

    Args:
        shown: what the environment showed, arrays ``[N, …]``, nested.
        base: from `draw_within`.
        possible: as many of the space; its values are taken where it is no wider than `WIDE`.

    Returns:
        None where nothing was constant.
    """
    generator = np.random.default_rng(seed)
    has_constants = False

    def vary(values: np.ndarray, like: np.ndarray, sample: np.ndarray) -> np.ndarray:
        nonlocal has_constants
        constant = (values == values[0]).all(axis=0)
        has_constants = has_constants or bool(constant.any())
        near = values[0] + np.round(generator.normal(size=like.shape)) * (values.dtype.kind != "b")
        wide = np.abs(sample.astype(np.float64)).max(axis=0, initial=0.0) > WIDE
        return np.where(constant, np.where(wide, near, sample), like).astype(values.dtype)

    varied = tree.map_structure(vary, shown, base, possible)
    return varied if has_constants else None
