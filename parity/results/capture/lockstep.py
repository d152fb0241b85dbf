"""Rung 9: whole iterations of both sides."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from parity.results.capture.base import ABSENT, Captured


class LockstepSide(Captured):
    """One side's rollouts, ``[K, T, E]``: K iterations, T steps, E sub-environments."""

    PARTS = ("lockstep",)

    actions: np.ndarray = ABSENT  # int64 [K, T, E, k]
    values: np.ndarray = ABSENT  # float32, as at sampling
    log_probs: np.ndarray = ABSENT  # float32
    advantages: np.ndarray = ABSENT  # float32, not normalised
    targets: np.ndarray = ABSENT  # float32
    rewards: np.ndarray = ABSENT  # float32, as the environment gave them
    ends: np.ndarray = ABSENT  # int8: 0 goes on, 1 terminated, 2 truncated


class Lockstep(Captured):
    """Rung 9: K iterations from one stream of randomness; M steps of the optimiser in each, P parameters."""

    PARTS = ("lockstep",)

    asked: int = 0  # iterations that were wanted
    iterations: int = 0  # K
    reason: str = ""  # why it could not run, where it could not
    agent: str = ""  # the learning agent
    others: list[str] = field(default_factory=list)  # other agents that have a choice
    # Of an action that can be played, the largest magnitude of its log-prob in SB3's play: how far logits are apart.
    largest_log_prob: float = 0.0
    parameters: list[str] = field(default_factory=list)  # the port's names
    sb3: LockstepSide = ABSENT
    port: LockstepSide = ABSENT
    observations: np.ndarray = ABSENT  # float64 [K, T, E], largest difference of the learning agent's observation
    masks: np.ndarray = ABSENT  # float64 [K, T, E], number of mask entries that differ
    margin: np.ndarray = ABSENT  # float64 [K, T, E], how much a probability would have to be off for another action
    # float64 [K, M, P], ‖port - sb3‖₂ after each step, estimated; NaN behind the last
    minibatch_distance: np.ndarray = ABSENT
    minibatch_count: np.ndarray = ABSENT  # int64 [K, 2], SB3's and the port's
    distance: np.ndarray = ABSENT  # float64 [K, P], ‖port - sb3‖₂ after each update
    size: np.ndarray = ABSENT  # float64 [K, P], ‖sb3‖₂
    largest: np.ndarray = ABSENT  # float64 [K, P], largest difference of an element
    sb3_element: np.ndarray = ABSENT  # float64 [K, P], that element on SB3's side
    port_element: np.ndarray = ABSENT  # float64 [K, P], and on the port's
