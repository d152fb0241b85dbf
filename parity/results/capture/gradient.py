"""Rung 6: the gradient of the first minibatch. For RUN see `parity.results.capture.loss`."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from parity.results.capture.base import ABSENT, SB3_UPDATE, SENSITIVITY, UPDATE, Arrays, Captured


class Gradient(Captured):
    """Rung 6, of one module: by parameter, of the first minibatch."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {"sensitivity": SENSITIVITY, "sb3": SB3_UPDATE}

    raw: Arrays = ABSENT  # before clipping
    clipped: Arrays = ABSENT
    sensitivity: Arrays = ABSENT  # float64 [2]: how far log-probs and values move when the parameter is disturbed
    sb3: dict[str, Arrays] = ABSENT  # RUN -> SB3's, clipped, by SB3's names
    # SB3's name -> float64 [N], ‖·‖₂: how far SB3's own computation ends from itself where its weights start a few floats
    # away; empty where the two sides are so near that nobody asks
    noise: Arrays = field(default_factory=dict)
    stretched: Arrays = ABSENT  # a gradient far above the bound of clipping
    stretched_clipped: Arrays = ABSENT
    minibatches: int = ABSENT
