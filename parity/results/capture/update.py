"""Rungs 5 to 8: the loss, the gradient, the first step and a whole update.

SB3 updates several times from the same weights. RUN is "sb3" as SB3 does it, "advantages" with the port's in place of SB3's
normalisation, "adam_eps" with the port's epsilon, "minibatches" with the port's, "all" with all three.
"""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, BUILD, ROLLOUT, SB3_UPDATE, SENSITIVITY, UPDATE, Arrays, Captured


class LossTerms(Captured):
    """Of each minibatch, float64 ``[minibatches]``, without coefficients but for the total; NaN where a learner logs none."""

    PARTS = UPDATE

    policy: np.ndarray = ABSENT
    value: np.ndarray = ABSENT
    entropy: np.ndarray = ABSENT
    total: np.ndarray = ABSENT


class Stress(Captured):
    """One loss with log-probs moved so that ratios spread from 1/2 to 2, on the weights after the update."""

    PARTS = UPDATE

    log_prob: np.ndarray = ABSENT  # float32 [V], like all that the loss was given
    old_log_prob: np.ndarray = ABSENT
    advantages: np.ndarray = ABSENT
    targets: np.ndarray = ABSENT
    values: np.ndarray = ABSENT
    entropy: np.ndarray = ABSENT
    loss: LossTerms = ABSENT  # what the learner logs of it
    # Derivatives, float32 [V, n] by the logits and [V] by the values: of the learner's loss ("total"), of the clipped surrogate
    # ("policy"; "normalised" with normalised advantages), of the mean entropy ("entropy"), of the mean squared error ("value").
    by_logits: Arrays = field(default_factory=dict)
    by_values: Arrays = field(default_factory=dict)


class Loss(Captured):
    """Rung 5, of one module."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {"sb3": SB3_UPDATE, "advantages": ROLLOUT}

    terms: LossTerms = ABSENT
    sb3: dict[str, LossTerms] = ABSENT  # RUN -> SB3's, on the first minibatch
    advantages: np.ndarray = ABSENT  # float32 [R]
    stress: Stress = ABSENT


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
