"""Rungs 1 and 2: logits, values and probabilities on the rollout and on drawn observations, with several kinds of weights."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, FORWARD, ROLLOUT, SB3, SB3_SPACE, SCALED, SPACE, UNIT, Arrays, Captured


class RandomObservations(Captured):
    """The module on observations drawn within what the environment showed, half of them with one legal action."""

    PARTS = SPACE
    OTHER_PARTS: ClassVar = {"sb3_logits": SB3_SPACE, "sb3_values": SB3_SPACE}

    observations: Arrays = ABSENT  # [S, …] each, the mask included
    mask: np.ndarray = ABSENT  # [S, n]
    logits: np.ndarray = ABSENT  # [S, n]
    probability: np.ndarray = ABSENT  # [S, n]
    values: np.ndarray = ABSENT  # [S]
    sb3_logits: np.ndarray = ABSENT  # [S, n], before masking
    sb3_values: np.ndarray = ABSENT  # [S]


class ChosenActions(Captured):
    """What is played, each row many times, beside the distribution: by a module that picks actions itself, else as it draws."""

    PARTS = FORWARD

    actions: np.ndarray = ABSENT  # int64 [N, k]
    log_prob: np.ndarray = ABSENT  # [N], the module's own word, where it gives one
    expected_log_prob: np.ndarray = ABSENT  # [N], the distribution's
    probability: np.ndarray = ABSENT  # [N, n]


class ScaledWeights(Captured):
    """The random observations with weights scaled so that outputs span the range that they reach in training."""

    PARTS = SCALED

    mask: np.ndarray = ABSENT  # [S, n]
    actions: np.ndarray = ABSENT  # int64 [S, k], legal ones
    logits: Arrays = ABSENT  # phase -> [S, n]
    probability: Arrays = ABSENT  # phase -> [S, n]
    log_prob: Arrays = ABSENT  # phase -> [S]
    entropy: Arrays = ABSENT  # phase -> [S]
    greedy: np.ndarray = ABSENT  # int64 [S, k], what is played without exploration
    values: np.ndarray = ABSENT  # [S]
    sb3_logits: np.ndarray = ABSENT  # [S, n], before masking
    sb3_values: np.ndarray = ABSENT  # [S]
    chosen: ChosenActions = ABSENT


class UnitWeights(Captured):
    """Both networks on observed rows with random weights that give every layer of SB3's outputs of order 1."""

    PARTS = UNIT

    mask: np.ndarray = ABSENT  # bool [U, n]
    logits: np.ndarray = ABSENT  # [U, n]
    values: np.ndarray = ABSENT  # [U]
    sb3_logits: np.ndarray = ABSENT  # [U, n], before masking
    sb3_values: np.ndarray = ABSENT  # [U]
    # how far SB3's own outputs move when all weights are moved by some units in the last place, by logits and values
    noise: dict[str, float] = ABSENT
    begins: dict[str, str] = ABSENT  # "logits", "values" -> where, on the way there, the two networks part, as a clause


class Forward(Captured):
    """Rung 1, of one module."""

    PARTS = FORWARD
    OTHER_PARTS: ClassVar = {
        "batch_rows": ROLLOUT, "sb3_logits": SB3, "sb3_values": SB3, "random": SPACE, "scaled": SCALED, "inputs": SB3_SPACE,
        "unit": UNIT,
    }  # fmt: skip

    batch_rows: int = ABSENT  # R
    logits: Arrays = ABSENT  # phase -> [V, n], as the module gives them
    logits_first: np.ndarray = ABSENT  # [V, n], of one call of the training pass
    logits_again: np.ndarray = ABSENT  # [V, n], of another
    values: np.ndarray = ABSENT  # [V], in the training pass
    values_alone: np.ndarray = ABSENT  # [R], compute_values on all rows of the batch
    sb3_logits: np.ndarray = ABSENT  # [V, n], before masking
    sb3_values: np.ndarray = ABSENT  # [V]
    random: RandomObservations = ABSENT
    # the same where elements vary that were constant in the rollout, if both can take it
    unseen: RandomObservations = ABSENT
    scaled: ScaledWeights = ABSENT
    unit: UnitWeights = ABSENT
    # entry -> float64 [2]: how far outputs move, the port's and SB3's, when drawn values change places
    inputs: Arrays = ABSENT


class Distribution(Captured):
    """Rung 2, of one module."""

    PARTS = FORWARD
    OTHER_PARTS: ClassVar = {"sb3_log_prob": SB3, "sb3_entropy": SB3, "random": SPACE, "scaled": SCALED}

    probability: Arrays = ABSENT  # phase -> [V, n]
    log_prob: Arrays = ABSENT  # phase -> [V]
    entropy: Arrays = ABSENT  # phase -> [V]
    greedy: np.ndarray = ABSENT  # int64 [V, k], what is played without exploration
    chosen: ChosenActions = ABSENT
    sb3_log_prob: np.ndarray = ABSENT  # [V]
    sb3_entropy: np.ndarray = ABSENT  # [V]
    random: RandomObservations = ABSENT
    scaled: ScaledWeights = ABSENT


class Control(Captured):
    """One module on the CPU and on another device: what the device alone does to logits, values and the gradient."""

    PARTS = ("control",)

    cpu_logits: np.ndarray = ABSENT
    cpu_values: np.ndarray = ABSENT
    cpu_gradient: Arrays = field(default_factory=dict)
    device_logits: np.ndarray = ABSENT
    device_values: np.ndarray = ABSENT
    device_gradient: Arrays = field(default_factory=dict)
