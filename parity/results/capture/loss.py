"""Rung 5: the terms of the loss.

In rungs 5 to 8 SB3 updates several times from the same weights. RUN is "sb3" as SB3 does it, "advantages" with the port's in
place of SB3's normalisation, "adam_eps" with the port's epsilon, "minibatches" with the port's, "all" with all three.
"""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, ROLLOUT, SB3_UPDATE, UPDATE, Arrays, Captured


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
