"""What one iteration of a training shows, in numbers: what watching collects and `parity.audit.looks` judges."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np


@dataclasses.dataclass
class Spread:
    """Numbers in short; ``finite`` of ``rows`` are neither NaN nor infinite, and the rest is of those."""

    rows: int
    finite: int
    mean: float
    std: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Any) -> Spread:
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        finite = flat if np.isfinite(flat).all() else flat[np.isfinite(flat)]
        if not len(finite):
            return cls(len(flat), 0, math.nan, math.nan, math.nan, math.nan)
        # The sums of np.mean and np.std, in half of their time.
        mean = float(np.add.reduce(finite)) / len(finite)
        std = math.sqrt(float(np.add.reduce(np.square(finite - mean))) / len(finite))
        return cls(len(flat), len(finite), mean, std, float(finite.min()), float(finite.max()))

    @property
    def is_finite(self) -> bool:
        return 0 < self.finite == self.rows

    @property
    def largest(self) -> float:
        """Of the numbers, without sign."""
        return max(abs(self.low), abs(self.high))

    @property
    def is_constant(self) -> bool:
        """Whether all numbers are the same, but for float noise."""
        return self.finite > 1 and self.std <= 1e-7 * max(1.0, abs(self.mean))

    @property
    def is_zero(self) -> bool:
        return self.is_constant and abs(self.mean) <= 1e-7


@dataclasses.dataclass
class ModuleFigures:
    """Of one trained module in one update; None where a training does not show it.

    Attributes:
        kind: class of the module.
        value_api: whether RLlib computes advantages for it.
        missing: columns that its batch has not.
        advantages, targets, rewards, values: of all rows that are learned from; advantages as the loss gets them.
        raw: ``targets - values``, which advantages are made of.
        gae_gap: largest gap between value targets and the recursion of GAE, as a share of the targets' size.
        advantage_gap: what of the advantages is no straight line in ``targets - values``, as a share.
        explained: share of the targets' variance that the values explain before the update.
        value_error: deviation of ``targets - values``, as a share of the largest target.
        clamped: share of rows whose squared value error is cut off, so that the value learns nothing from them.
        masks, empty_masks, distinct_masks: rows that were looked at, those without a legal action, different ones.
        some_illegal: share of rows that forbid anything; ``one_legal``: that leave no choice.
        illegal_played: rows in which the mask forbids the action.
        illegal_sampling, illegal_training: largest probability of all illegal actions of a row together.
        entropy_above: largest excess of a row's entropy over log(legal), in training.
        entropy: mean entropy of the rows that leave a choice, as a share of log(legal); without masks of log(n).
        logp_gap: largest |log-prob in the first minibatch - at sampling|; ``logp_tolerance``: what float noise explains.
        kl, clip_fraction: in the last minibatch that was looked at, against sampling.
        gradients: parameter -> its gradient's norm in each minibatch that was looked at; None: it has none.
        gradient_norms: of all parameters together, before clipping; ``grad_clip``: what they are clipped to.
        moved: parameter -> its largest change in the update; ``frozen`` ones are left out.
        not_finite: parameters that hold NaN or infinity after the update.
        orphans: tensors that gradients arrive at and no optimiser steps.
        changed_between: parameters that are others now than after the last update.
        weights: parameter -> checksum after the update.
        lr, entropy_coeff: as configured now, and as it is.
        optimizer_steps: the fewest steps that any of its parameters' states has counted before the update.
        terminated, truncated: rows so marked.
    """

    kind: str
    value_api: bool = True
    rows: int = 0
    missing: list[str] = dataclasses.field(default_factory=list)
    advantages: Spread | None = None
    targets: Spread | None = None
    rewards: Spread | None = None
    values: Spread | None = None
    raw: Spread | None = None
    gae_gap: float | None = None
    advantage_gap: float | None = None
    explained: float | None = None
    value_error: float | None = None
    clamped: float | None = None
    masks: int = 0
    empty_masks: int = 0
    distinct_masks: int = 0
    some_illegal: float | None = None
    one_legal: float | None = None
    illegal_played: int = 0
    illegal_sampling: float | None = None
    illegal_training: float | None = None
    entropy_above: float | None = None
    entropy: float | None = None
    logp_gap: float | None = None
    logp_tolerance: float = 0.0
    kl: float | None = None
    clip_fraction: float | None = None
    gradients: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)
    gradient_norms: list[float] = dataclasses.field(default_factory=list)
    grad_clip: float | None = None
    moved: dict[str, float] = dataclasses.field(default_factory=dict)
    frozen: list[str] = dataclasses.field(default_factory=list)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    not_finite: list[str] = dataclasses.field(default_factory=list)
    orphans: list[str] = dataclasses.field(default_factory=list)
    changed_between: list[str] = dataclasses.field(default_factory=list)
    weights: dict[str, int] = dataclasses.field(default_factory=dict)
    lr: tuple[float, float] | None = None
    entropy_coeff: tuple[float, float] | None = None
    optimizer_steps: int | None = None


@dataclasses.dataclass
class RunnerFigures:
    """Of one process that plays environments, since the last iteration.

    Attributes:
        number: 0 for the local one.
        starts: of each sub-environment, checksums of the first observations of the episodes that it began.
        seeds_again: resets with a seed that the same sub-environment was reset with before.
        terminated, truncated: ends of whole episodes as the environments gave them.
        mask_gaps: sub-environments whose ``action_masks()`` says otherwise than the mask that they showed last.
        weights: module -> parameter -> checksum.
        aside: why it is not looked at.
    """

    number: int
    starts: list[list[int]] = dataclasses.field(default_factory=list)
    seeds_again: int = 0
    terminated: int = 0
    truncated: int = 0
    mask_gaps: list[str] = dataclasses.field(default_factory=list)
    weights: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    aside: str | None = None


@dataclasses.dataclass
class LearnerFigures:
    """Of one learner: its modules, and how many whole episodes of its data ended how; ``aside`` says why it stopped looking."""

    modules: dict[str, ModuleFigures] = dataclasses.field(default_factory=dict)
    terminated: int = 0
    aside: str | None = None


@dataclasses.dataclass
class IterationFigures:
    """Of one iteration; ``whole_episodes``: unfinished ones are thrown away."""

    iteration: int
    steps: int
    learners: list[LearnerFigures]
    runners: list[RunnerFigures] = dataclasses.field(default_factory=list)
    whole_episodes: bool = False
