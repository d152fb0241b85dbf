"""One trained module's part of a capture: every collector fills it in through this."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.results.capture import (
    Arrays,
    Capture,
    Captured,
    Distribution,
    Forward,
    Gradient,
    Loss,
    LossTerms,
    ModuleFacts,
    RandomObservations,
    Returns,
    Rollout,
    Rows,
    Step,
    Update,
)

# Of the learner's batch, by RLlib's names.
COLUMNS = (
    "actions", "action_logp", "action_dist_inputs", "rewards", "terminateds", "truncateds", "loss_mask", "advantages",
    "value_targets",
)  # fmt: skip


class ModuleCapture:
    """Of one module, what each rung compares; made where it is not there yet.

    Several rungs compare some of the same numbers: the ``fill`` methods put a number wherever it is read.
    """

    def __init__(self, capture: Capture, module: str) -> None:
        self.capture, self.module = capture, module
        self.rows = capture.context.rows.setdefault(module, Rows(module=module))
        self.forward = capture.forward.setdefault(module, Forward(module=module))
        self.distribution = capture.distribution.setdefault(module, Distribution(module=module))
        self.rollout = capture.rollout.setdefault(module, Rollout(module=module))
        self.returns = capture.returns.setdefault(module, Returns(module=module))
        self.loss = capture.loss.setdefault(module, Loss(module=module))
        self.gradient = capture.gradient.setdefault(module, Gradient(module=module))
        self.step = capture.step.setdefault(module, Step(module=module))
        self.update = capture.update.setdefault(module, Update(module=module))

    @property
    def facts(self) -> ModuleFacts:
        return self.capture.context.modules[self.module]

    def decisions(self, rows: int) -> np.ndarray:
        """Which of so many rows of the batch stand for decisions, int64; all where that is not known."""
        valid = self.rows.optional("valid")
        return np.arange(rows) if valid is None else np.flatnonzero(valid)

    def fill_batch(self, observations: Arrays, columns: Arrays) -> None:
        """What the loss sees.

        Args:
            observations: the mask included.
            columns: those of `COLUMNS` that there are; others are left out.
        """
        self.forward.batch_rows = len(columns["actions"])
        self.rollout.observations = observations
        for owner in (self.rollout, self.returns, self.loss):
            for name in COLUMNS:
                if name in columns and name in owner.__dataclass_fields__:
                    setattr(owner, name, columns[name])
        self.capture.contract.returns[self.module] = self.returns

    def add_phase(self, phase: str, **numbers: np.ndarray) -> None:
        """One phase on the rows that stand for decisions: logits, log_prob, entropy, probability."""
        add_entry(phase, numbers, self.forward, self.distribution, self.rollout)

    def fill_values(self, of_rows: np.ndarray) -> None:
        """``compute_values`` on all rows of the batch, ``[R]``."""
        self.forward.values_alone = self.returns.values = of_rows

    def fill_random(self, **numbers: Any) -> None:
        """On random observations, see `RandomObservations`."""
        self.forward.random = self.distribution.random = RandomObservations(module=self.module, **numbers)

    def fill_weights(self, parameters: Arrays) -> None:
        """Parameters before the update."""
        self.step.before = self.update.before = parameters

    def fill_sensitivity(self, sensitivity: Arrays) -> None:
        """See `Gradient`."""
        self.gradient.sensitivity = self.step.sensitivity = self.update.sensitivity = sensitivity

    def fill_first_gradient(self, *, raw: Arrays | None = None, clipped: Arrays | None = None) -> None:
        """Of the first minibatch, before or after clipping."""
        if raw is not None:
            self.gradient.raw = self.step.raw = raw
        if clipped is not None:
            self.gradient.clipped = self.step.gradient = clipped

    def fill_update(
        self,
        minibatches: list[np.ndarray],
        losses: dict[str, list[float]],
        last: Arrays,
        epochs: int,
        minibatch_size: int,
    ) -> None:
        """What is known after the update.

        Args:
            minibatches: row numbers of each.
            losses: of each minibatch, by the names of `LossTerms`.
            last: parameters.
            epochs, minibatch_size: asked for.
        """
        rows = np.full((len(minibatches), max(map(len, minibatches), default=0)), -1, dtype=np.int64)
        for row, minibatch in zip(rows, minibatches, strict=True):
            row[: len(minibatch)] = minibatch
        self.update.rows, self.gradient.minibatches = rows, len(rows)
        self.update.epochs, self.update.minibatch_size = epochs, minibatch_size
        self.step.last = self.update.last = last
        self.loss.terms = loss_terms(self.module, losses)


def loss_terms(module: str, losses: dict[str, list[float]]) -> LossTerms:
    return LossTerms(module=module, **{name: np.array(values) for name, values in losses.items()})


def add_entry(key: str, numbers: dict[str, np.ndarray], *owners: Captured) -> None:
    """Puts each number under ``key`` into the dict field of its name, of every owner that has such a field."""
    for owner in owners:
        for name in numbers.keys() & owner.__dataclass_fields__.keys():
            if owner.optional(name) is None:
                setattr(owner, name, {})
            getattr(owner, name)[key] = numbers[name]
