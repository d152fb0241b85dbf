"""Rungs 3 and 4: the learner's batch of a rollout, its advantages and value targets."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, FORWARD, ROLLOUT, SB3, Arrays, Captured


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


class Returns(Captured):
    """Rung 4, of one module."""

    PARTS = ROLLOUT
    OTHER_PARTS: ClassVar = {"values": FORWARD, "bootstrap": FORWARD, "sb3_advantages": SB3, "sb3_returns": SB3}

    advantages: np.ndarray = ABSENT  # float32 [R], as the loss sees them
    value_targets: np.ndarray = ABSENT  # float32 [R]
    rewards: np.ndarray = ABSENT  # [R]
    terminateds: np.ndarray = ABSENT  # [R]
    values: np.ndarray = ABSENT  # float32 [R]
    bootstrap: np.ndarray = ABSENT  # float32 [chunks], of what followed each chunk's last row
    sb3_advantages: np.ndarray = ABSENT  # float32 [V], RolloutBuffer.compute_returns_and_advantage, not normalised
    sb3_returns: np.ndarray = ABSENT  # float32 [V]


@dataclasses.dataclass(kw_only=True)
class InstalledFormula:
    """The installed framework's advantages: its version, and whether value targets bootstrap chunks that were cut."""

    version: str
    bootstraps_cut_chunks: bool = True
