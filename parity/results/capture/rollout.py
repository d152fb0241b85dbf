"""Rung 3: the learner's batch of a rollout."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, FORWARD, ROLLOUT, Arrays, Captured


class Rollout(Captured):
    """Rung 3, of one module: what the loss sees, against the environment's side in `Rows`."""

    PARTS = ROLLOUT
    OTHER_PARTS: ClassVar = {"log_prob": FORWARD, "logits": FORWARD}

    observations: Arrays = ABSENT  # [R, …] each, the mask included
    actions: np.ndarray = ABSENT  # [R] or [R, k]
    action_logp: np.ndarray = ABSENT  # [R], at sampling
    action_dist_inputs: np.ndarray = ABSENT  # [R, n], logits at sampling
    rewards: np.ndarray = ABSENT  # [R]
    terminateds: np.ndarray = ABSENT  # [R]
    truncateds: np.ndarray = ABSENT  # [R]
    loss_mask: np.ndarray = ABSENT  # bool [R], where the batch has one
    log_prob: Arrays = ABSENT  # phase -> [V], of the actions, by the weights before the update
    logits: Arrays = ABSENT  # phase -> [V, n]
