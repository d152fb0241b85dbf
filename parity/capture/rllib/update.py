"""One short update by RLlib's own learner, watched: rows, losses, gradients and parameters on their way through."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from parity.capture.rllib.hooks import replaced
from parity.frameworks.rllib.arrays import array, parameters
from parity.frameworks.rllib.versions import update_from_tensors
from parity.results.capture import Numbers

# Two correct implementations part after some hundred minibatches (contract, rung 8); a dozen shows every difference.
MINIBATCHES = 12
ROW = "parity_row"


def watched_update(numbers: Numbers, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """``learner.update`` on the modules' batches; stores below ``M/update`` what ``probe.py`` beside this file lists."""
    config, batch = learner.config, _as_one(batches)
    rows = max(len(columns[Columns.ACTIONS]) for columns in batches.values())
    epochs, minibatch = shortened(rows, config.num_epochs, config.minibatch_size)
    watch = _Watch(numbers, learner, list(batches))
    update_from_tensors(
        learner,
        batch,
        num_epochs=epochs,
        minibatch_size=minibatch,
        shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
    )
    watch.store()
    numbers.facts["update"] = {"epochs": epochs, "minibatch_size": minibatch}


def between_updates(numbers: Numbers, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """Another ``learner.update``: stores what its first step finds beside what the last update left.

    ``M/between/{before,after}``: parameters, and the tensors of the optimiser's state as ``PARAM/ENTRY``.
    """
    apply, seen = learner.apply_gradients, False

    def watched(gradients: Any) -> Any:
        nonlocal seen
        if not seen:
            seen = True
            numbers.facts["optimizer_options"]["second update"] = _options(learner, list(batches))
            for module_id in batches:
                numbers.put(f"{module_id}/between/after", _state(learner, module_id))
        return apply(gradients)

    for module_id in batches:
        numbers.put(f"{module_id}/between/before", _state(learner, module_id))
    with replaced(learner, apply_gradients=watched):
        update_from_tensors(learner, _as_one(batches), num_epochs=1, minibatch_size=None, shuffle_batch_per_epoch=False)


def _options(learner: Any, modules: list[str]) -> dict[str, list[dict[str, float]]]:
    """The numbers among the options of each module's optimisers, group by group."""
    return {
        module_id: [
            {key: float(value) for key, value in group.items() if isinstance(value, int | float)}
            for _, optimizer in learner.get_optimizers_for_module(module_id)
            for group in optimizer.param_groups
        ]
        for module_id in modules
    }


def _state(learner: Any, module_id: str) -> dict[str, np.ndarray]:
    """Copies of a module's parameters and of what its optimisers keep of each."""
    module = learner.module[module_id].unwrapped()
    found = {name: each.copy() for name, each in parameters(module).items()}
    for _, optimizer in learner.get_optimizers_for_module(module_id):
        for name, parameter in module.named_parameters():
            kept = optimizer.state.get(parameter, {})
            found |= {
                f"{name}/{entry}": array(each).copy() for entry, each in kept.items() if isinstance(each, torch.Tensor)
            }
    return found


def _as_one(batches: dict[str, dict[str, Any]]) -> MultiAgentBatch:
    """RLlib's batch of all modules; what a module takes out of it is still in ``batches``."""
    together = {}
    for module_id, columns in batches.items():
        # The containers are copied, not the tensors.
        own = {name: tree.map_structure(lambda leaf: leaf, column) for name, column in columns.items()}
        actions = columns[Columns.ACTIONS]
        together[module_id] = SampleBatch(own | {ROW: torch.arange(len(actions), device=actions.device)})
    return MultiAgentBatch(together, env_steps=max(len(batch[ROW]) for batch in together.values()))


def shortened(rows: int, epochs: int, minibatch_size: int | None) -> tuple[int, int]:
    """Epochs and minibatch size of an update of ``rows`` rows that takes at most `MINIBATCHES` minibatches."""
    epochs = min(epochs, 3)
    return epochs, min(rows, max(minibatch_size or rows, -(-rows * epochs // MINIBATCHES)))


class _Watch:
    """Wraps a learner's steps of an update on the instance and keeps what passes through them."""

    def __init__(self, numbers: Numbers, learner: Any, modules: list[str]) -> None:
        self._numbers, self._learner, self._modules = numbers, learner, modules
        self._rows: dict[str, list[np.ndarray]] = {module_id: [] for module_id in modules}
        self._losses: dict[str, dict[str, list[float]]] = {
            module_id: {"total": [], "policy": [], "value": [], "entropy": []} for module_id in modules
        }
        self._peak: dict[str, dict[str, Any]] = {module_id: {} for module_id in modules}
        self._steps = 0
        compute_losses, postprocess, apply = (
            learner.compute_losses, learner.postprocess_gradients, learner.apply_gradients,
        )  # fmt: skip

        def watched_losses(*, fwd_out: Any, batch: Any) -> Any:
            losses = compute_losses(fwd_out=fwd_out, batch=batch)
            for module_id, columns in batch.items():
                if module_id in self._rows:
                    self._rows[module_id].append(array(columns[ROW]).astype(np.int64))
                    self._note_losses(module_id, losses.get(module_id))
            return losses

        def watched_postprocess(gradients: Any) -> Any:
            if self._steps == 0:
                self._put("raw_gradient", gradients)
            clipped = postprocess(gradients)
            # Where there is nothing to clip, the returned dict may be empty; the optimiser then takes what backward() left.
            taken = {parameter: parameter.grad for parameter in gradients} | clipped
            if self._steps == 0:
                self._put("gradient", taken)
            for module_id, named in self._named(taken).items():
                peak = self._peak[module_id]
                for name, gradient in named.items():
                    peak[name] = np.maximum(peak.get(name, 0.0), np.abs(gradient))
            return clipped

        def watched_apply(gradients: Any) -> Any:
            if self._steps == 0:
                numbers.facts["optimizer_options"] = {"first update": _options(learner, modules)}
            result = apply(gradients)
            if self._steps == 0:
                for module_id in modules:
                    numbers.put(f"{module_id}/update/first", parameters(learner.module[module_id].unwrapped()))
            self._steps += 1
            return result

        learner.compute_losses = watched_losses
        learner.postprocess_gradients = watched_postprocess
        learner.apply_gradients = watched_apply

    def _note_losses(self, module_id: str, total: Any) -> None:
        metrics, losses = self._learner.metrics, self._losses[module_id]
        losses["total"].append(float("nan") if total is None else float(total.detach()))
        for name, key in (("policy", POLICY_LOSS_KEY), ("value", VF_LOSS_KEY), ("entropy", ENTROPY_KEY)):
            try:
                losses[name].append(float(array(metrics.peek((module_id, key)))))
            except KeyError:
                losses[name].append(float("nan"))

    def _put(self, folder: str, gradients: Any) -> None:
        for module_id, named in self._named(gradients).items():
            self._numbers.put(f"{module_id}/update/{folder}", {k: v.copy() for k, v in named.items()})

    def _named(self, gradients: Any) -> dict[str, dict[str, np.ndarray]]:
        """Gradients by module and parameter's name."""
        return {
            module_id: {
                name: array(gradients[parameter])
                for name, parameter in self._learner.module[module_id].unwrapped().named_parameters()
                if parameter in gradients and gradients[parameter] is not None
            }
            for module_id in self._modules
        }

    def store(self) -> None:
        numbers = self._numbers
        for module_id, minibatches in self._rows.items():
            longest = max((len(rows) for rows in minibatches), default=0)
            table = np.full((len(minibatches), longest), -1, dtype=np.int64)
            for i, rows in enumerate(minibatches):
                table[i, : len(rows)] = rows
            numbers.put(f"{module_id}/update", {"rows": table})
            numbers.put(f"{module_id}/update/loss", self._losses[module_id])
            numbers.put(f"{module_id}/update/peak", self._peak[module_id])
            numbers.put(f"{module_id}/update/last", parameters(self._learner.module[module_id].unwrapped()))
