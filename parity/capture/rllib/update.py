"""Watches one short update by RLlib's own learner: rows, losses, gradients and parameters on their way through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from parity.capture.module_capture import ModuleCapture
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.sequences import Sequences
from parity.frameworks.rllib.arrays import array, parameters
from parity.frameworks.rllib.versions import update_from_tensors
from parity.results.capture import Arrays, Capture

# Two correct implementations part after some hundred minibatches (contract, rung 8); a dozen shows every difference.
MINIBATCHES = 12
ROW = "parity_row"


def watched_update(capture: Capture, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """Runs ``learner.update`` on the modules' batches and stores what the rungs from loss to update compare."""
    config, batch = learner.config, _as_one(batches)
    rows = max(row_numbers(columns).numel() for columns in batches.values())
    epochs, minibatch = shortened(rows, config.num_epochs, config.minibatch_size)
    watches = {module_id: Watch(ModuleCapture(capture, module_id), learner) for module_id in batches}
    with _watched(learner, watches):
        update_from_tensors(
            learner,
            batch,
            num_epochs=epochs,
            minibatch_size=minibatch,
            shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
        )
    for watch in watches.values():
        watch.store(epochs, minibatch)


def between_updates(capture: Capture, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """Runs two more updates of a step each: its step should find what the last step before it left.

    What is averaged or restored behind an update may change nothing the first time. The pair that differs is kept.
    """
    owns = [ModuleCapture(capture, module_id) for module_id in batches]
    apply = learner.apply_gradients
    left = {own.module: _state(learner, own.module) for own in owns}
    for _ in range(2):
        stepped: dict[str, Arrays] = {}

        def watched(gradients: Any, stepped: dict[str, Arrays] = stepped) -> Any:
            if not stepped:
                for own in owns:
                    own.update.next_options = _options(learner, own.module)
                    own.update.kept_after = _state(learner, own.module)
            result = apply(gradients)
            stepped.update({own.module: _state(learner, own.module) for own in owns})
            return result

        with replaced(learner, apply_gradients=watched):
            update_from_tensors(
                learner, _as_one(batches), num_epochs=1, minibatch_size=None, shuffle_batch_per_epoch=False
            )
        for own in owns:
            own.update.kept_before = left[own.module]
        if not all(same_arrays(own.update.kept_before, own.update.kept_after) for own in owns):
            return
        left = stepped


def same_arrays(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


def logged_losses(learner: Any, module_id: str, total: Any) -> dict[str, float]:
    """The terms of the loss that a learner has just computed, by the names of `LossTerms`; NaN where it logs none."""
    losses = {"total": float("nan") if total is None else float(total.detach())}
    for name, key in (("policy", POLICY_LOSS_KEY), ("value", VF_LOSS_KEY), ("entropy", ENTROPY_KEY)):
        try:
            losses[name] = float(array(learner.metrics.peek((module_id, key))))
        except KeyError:
            losses[name] = float("nan")
    return losses


def _options(learner: Any, module_id: str) -> list[dict[str, float]]:
    """The numbers among the options of a module's optimisers, group by group."""
    return [
        {key: float(value) for key, value in group.items() if isinstance(value, int | float)}
        for _, optimizer in learner.get_optimizers_for_module(module_id)
        for group in optimizer.param_groups
    ]


def _without_optimiser(learner: Any, module_id: str) -> list[str]:
    groups = [
        group for _, optimizer in learner.get_optimizers_for_module(module_id) for group in optimizer.param_groups
    ]
    held = {id(parameter) for group in groups for parameter in group["params"]}
    module = learner.module[module_id].unwrapped()
    return [name for name, each in module.named_parameters() if each.requires_grad and id(each) not in held]


def _state(learner: Any, module_id: str) -> dict[str, np.ndarray]:
    """Copies of a module's parameters and of what its optimisers keep of each; without those that no gradient may change,
    as a copy of averaged weights beside the trained ones."""
    module = learner.module[module_id].unwrapped()
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    state = {name: value for name, value in parameters(module).items() if name not in frozen}
    for _, optimizer in learner.get_optimizers_for_module(module_id):
        for name, parameter in module.named_parameters():
            kept = optimizer.state.get(parameter, {})
            state |= {
                f"{name}/{entry}": array(each).copy() for entry, each in kept.items() if isinstance(each, torch.Tensor)
            }
    return state


def _as_one(batches: dict[str, dict[str, Any]]) -> MultiAgentBatch:
    """RLlib's batch of all modules; what a module takes out of it is still in ``batches``."""
    together = {}
    for module_id, columns in batches.items():
        # The containers are copied, not the tensors.
        own = {name: tree.map_structure(lambda leaf: leaf, column) for name, column in columns.items()}
        together[module_id] = SampleBatch(own | {ROW: row_numbers(columns)}, _zero_padded=Columns.SEQ_LENS in columns)
    return MultiAgentBatch(together, env_steps=max(len(batch[ROW]) for batch in together.values()))


def row_numbers(columns: dict[str, Any]) -> torch.Tensor:
    """Of each row of a batch, int64 ``[R]``; ``[B, T]`` where it has sequences, -1 in their padding."""
    actions = columns[Columns.ACTIONS]
    if Columns.SEQ_LENS in columns:
        return torch.as_tensor(Sequences(columns).numbers(), device=actions.device)
    return torch.arange(len(actions), device=actions.device)


def shortened(rows: int, epochs: int, minibatch_size: int | None) -> tuple[int, int]:
    """Epochs and minibatch size of an update of ``rows`` rows that takes at most `MINIBATCHES` minibatches."""
    epochs = min(epochs, 3)
    return epochs, min(rows, max(minibatch_size or rows, -(-rows * epochs // MINIBATCHES)))


class Watch:
    """What passes through a learner's steps of one module.

    Attributes:
        rows: of each minibatch.
        losses: of each minibatch, by the names of `LossTerms`.
        peak: element by element the largest |gradient| so far, after clipping.
    """

    def __init__(self, own: ModuleCapture, learner: Any) -> None:
        self.own = own
        self.rows: list[np.ndarray] = []
        self.losses: dict[str, list[float]] = {"total": [], "policy": [], "value": [], "entropy": []}
        self._learner = learner
        self._steps = 0
        self.peak: Arrays = {}

    def _module(self) -> Any:
        return self._learner.module[self.own.module].unwrapped()

    def store(self, epochs: int, minibatch: int) -> None:
        """Stores what the update left; ``epochs``, ``minibatch``: as asked for."""
        self.own.facts.without_optimiser = _without_optimiser(self._learner, self.own.module)
        self.own.update.peak = self.peak
        self.own.fill_update(self.rows, self.losses, self.parameters(), epochs, minibatch)

    def parameters(self) -> Arrays:
        return parameters(self._module())

    def _named(self, gradients: Any) -> Arrays:
        """The module's gradients by the names of its parameters."""
        return {
            name: array(gradients[parameter])
            for name, parameter in self._module().named_parameters()
            if parameter in gradients and gradients[parameter] is not None
        }

    def lost(self, rows: np.ndarray, total: Any) -> None:
        self.rows.append(rows)
        for name, value in logged_losses(self._learner, self.own.module, total).items():
            self.losses[name].append(value)

    def computed(self, gradients: Any) -> None:
        if self._steps == 0:
            self.own.fill_first_gradient(raw={k: v.copy() for k, v in self._named(gradients).items()})

    def clipped(self, gradients: Any) -> None:
        named = self._named(gradients)
        if self._steps == 0:
            self.own.fill_first_gradient(clipped={k: v.copy() for k, v in named.items()})
        for name, gradient in named.items():
            self.peak[name] = np.maximum(self.peak.get(name, 0.0), np.abs(gradient))

    def stepping(self) -> None:
        if self._steps == 0:
            self.own.update.options = _options(self._learner, self.own.module)

    def stepped(self) -> None:
        if self._steps == 0:
            self.own.step.after = self.parameters()
        self._steps += 1


@contextlib.contextmanager
def _watched(learner: Any, watches: dict[str, Watch]) -> Iterator[None]:
    """Tells watches, by module, of the learner's steps."""
    compute_losses, postprocess, apply = (
        learner.compute_losses, learner.postprocess_gradients, learner.apply_gradients,
    )  # fmt: skip

    def watched_losses(*, fwd_out: Any, batch: Any) -> Any:
        losses = compute_losses(fwd_out=fwd_out, batch=batch)
        for module_id, columns in batch.items():
            if module_id in watches:
                rows = array(columns[ROW]).astype(np.int64).reshape(-1)
                watches[module_id].lost(rows[rows >= 0], losses.get(module_id))
        return losses

    def watched_postprocess(gradients: Any) -> Any:
        for watch in watches.values():
            watch.computed(gradients)
        clipped = postprocess(gradients)
        # Where there is nothing to clip, the returned dict may be empty; the optimiser then takes what backward() left.
        taken = {parameter: parameter.grad for parameter in gradients} | clipped
        for watch in watches.values():
            watch.clipped(taken)
        return clipped

    def watched_apply(gradients: Any) -> Any:
        for watch in watches.values():
            watch.stepping()
        result = apply(gradients)
        for watch in watches.values():
            watch.stepped()
        return result

    with replaced(
        learner,
        compute_losses=watched_losses,
        postprocess_gradients=watched_postprocess,
        apply_gradients=watched_apply,
    ):
        yield
