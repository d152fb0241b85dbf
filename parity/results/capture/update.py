"""Rung 8: a whole update. For RUN see `parity.results.capture.loss`."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, BUILD, SB3_UPDATE, SENSITIVITY, UPDATE, Arrays, Captured


class Update(Captured):
    """Rung 8, of one module: a whole update of at most a dozen minibatches."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {
        "before": BUILD, "sensitivity": SENSITIVITY, "sb3": SB3_UPDATE, "sb3_peak": SB3_UPDATE,
    }  # fmt: skip

    before: Arrays = ABSENT  # parameters
    last: Arrays = ABSENT
    rows: np.ndarray = ABSENT  # int64 [minibatches, longest], row numbers of each minibatch, -1 where it is shorter
    peak: Arrays = ABSENT  # element by element the largest |gradient| of all minibatches, clipped
    sensitivity: Arrays = ABSENT  # see Gradient
    sb3: dict[str, Arrays] = ABSENT  # RUN -> SB3's parameters after the update, by SB3's names
    sb3_peak: dict[str, Arrays] = ABSENT
    noise: Arrays = field(default_factory=dict)  # as Gradient's
    epochs: int = ABSENT
    minibatch_size: int = ABSENT
    # "learner", "env runner" -> logits after the new weights were given to the env runner
    synchronised: Arrays = ABSENT
    kept_before: Arrays = ABSENT  # parameters and the optimiser's state (PARAM/ENTRY) after the update
    kept_after: Arrays = ABSENT  # the same when the next update first steps
    options: list[dict[str, float]] = ABSENT  # by group of parameters, the optimiser's numbers in this update
    next_options: list[dict[str, float]] = ABSENT  # and in the next
