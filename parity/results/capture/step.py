"""Rung 7: the first step of the optimiser. For RUN see `parity.results.capture.loss`."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from parity.results.capture.base import ABSENT, BUILD, SB3_UPDATE, SENSITIVITY, UPDATE, Arrays, Captured


class Step(Captured):
    """Rung 7, of one module; of one that is not trained, ``before`` and ``last`` alone."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {
        "before": BUILD, "sensitivity": SENSITIVITY, "sb3": SB3_UPDATE, "sb3_gradient": SB3_UPDATE, "sb3_last": SB3_UPDATE,
    }  # fmt: skip

    before: Arrays = ABSENT  # parameters before the update
    after: Arrays = ABSENT  # after its first step
    last: Arrays = ABSENT  # after its last step
    raw: Arrays = ABSENT  # gradient of the first step, before clipping
    gradient: Arrays = ABSENT  # the same, clipped
    sensitivity: Arrays = ABSENT  # see Gradient
    sb3: dict[str, Arrays] = ABSENT  # RUN -> SB3's parameters after the first step, by SB3's names
    sb3_gradient: dict[str, Arrays] = ABSENT  # RUN -> SB3's gradient of it
    noise: Arrays = field(default_factory=dict)  # as Gradient's
    sb3_last: Arrays = ABSENT  # SB3's after the whole update as SB3 does it
