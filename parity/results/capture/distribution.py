"""Rung 2: probabilities, log-probabilities and entropies."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, FORWARD, SB3, SCALED, SPACE, Arrays, Captured
from parity.results.capture.forward import ChosenActions, RandomObservations, ScaledWeights


class Distribution(Captured):
    """Rung 2, of one module."""

    PARTS = FORWARD
    OTHER_PARTS: ClassVar = {"sb3_log_prob": SB3, "sb3_entropy": SB3, "random": SPACE, "scaled": SCALED}

    probability: Arrays = ABSENT  # phase -> [V, n]
    log_prob: Arrays = ABSENT  # phase -> [V]
    entropy: Arrays = ABSENT  # phase -> [V]
    chosen: ChosenActions = ABSENT
    sb3_log_prob: np.ndarray = ABSENT  # [V]
    sb3_entropy: np.ndarray = ABSENT  # [V]
    random: RandomObservations = ABSENT
    scaled: ScaledWeights = ABSENT
