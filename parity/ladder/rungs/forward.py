"""Rung 1: logits on legal actions and values, on the same weights and observations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from parity.ladder.difference import Difference, elementwise
from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules, finite_rows, scaled
from parity.ladder.rungs.legal import legal_log_probabilities
from parity.ladder.tolerances import SCALED_WEIGHTS, Tolerance
from parity.results.capture import Forward, RandomObservations, ScaledWeights, UnitWeights

# Far above float32's noise on outputs of order 1.
SOME = 1e-4
# A logit below it is masked.
MASKED = -1e6
# Another order of summation may well make some times what single weights moved in their last places make.
MORE_THAN_NOISE = 10.0


def forward(inputs: RungInput, capture: dict[str, Forward]) -> RungReport:
    """Against SB3's network where parameters correspond; and what needs no reference: shapes, NaN, repeatability."""
    report = check_modules(
        1,
        inputs,
        capture,
        Forward,
        _batch_unchanged,
        _outputs_without_rollout,
        _batch_statistics,
        _legal_masked,
        _repeatable,
        _shapes,
        _finite,
        _against_sb3,
        _random_observations,
        _scaled_weights,
        _unit_weights,
        _inputs_used,
        _values_agree,
    )
    if inputs.context.modules:
        for module in inputs.incomparable_modules():
            report.explained.append(f"module {module} has actions that MaskablePPO does not have, and is not compared")
    return report


def _batch_unchanged(module: ModuleCheck, forward: Forward) -> None:
    changed = module.facts.batch_changed
    if changed:
        message = (
            f"after the forward pass of {module.facts.class_name} the batch has other contents: {', '.join(changed)}"
        )
        module.report("PAR103", None, message, {"columns": changed})


def _outputs_without_rollout(module: ModuleCheck, forward: Forward) -> None:
    """Shape and finiteness on random observations, where there is no rollout: wrong outputs may have stopped it."""
    if not forward.has("random") or forward.has("logits"):
        return
    mask = forward.random.mask
    for column, wanted in (("logits", list(mask.shape)), ("values", [len(mask)])):
        outputs = forward.random.optional(column)
        if outputs is None:
            continue
        if list(outputs.shape) != wanted:
            _wrong_shape(module, column, list(outputs.shape), wanted)
            continue
        used = outputs if column == "values" else np.where(mask.astype(bool), outputs, 0.0)
        bad = int((~finite_rows(used)).sum())
        if bad:
            message = f"{column} of {bad} of {len(used)} randomly drawn observations are not finite"
            module.report("PAR106", column, message, {"rows": bad})


def _wrong_shape(module: ModuleCheck, column: str, shape: list[int], wanted: list[int]) -> None:
    message = f"{column} of {module.facts.class_name} have shape {shape}, wanted {wanted}"
    module.report("PAR105", column, message, {"shape": shape, "wanted": wanted})


def _mask(module: ModuleCheck, like: np.ndarray) -> np.ndarray:
    return np.ones(like.shape, dtype=bool) if module.mask is None else module.mask


def _batch_statistics(module: ModuleCheck, forward: Forward) -> None:
    """RLlib samples in evaluation mode and trains in training mode (torch_rl_module.py:85-102, ray 2.60.0)."""
    layers = module.facts.batch_statistics
    if layers:
        message = (
            f"{', '.join(layers)}: a row's outputs depend on the other rows of its batch, and running statistics move"
        )
        module.report("PAR112", f"layer {layers[0]}", message, {"layers": layers})


def _legal_masked(module: ModuleCheck, forward: Forward) -> None:
    """Which legal actions the module masks."""
    logits, mask = forward.entry("logits", "train"), module.mask
    if mask is None or logits.shape != mask.shape:
        return
    masked = mask & (logits <= MASKED)
    if masked.any():
        rows, columns = np.nonzero(masked)
        actions = sorted({int(column) for column in columns})
        message = (
            f"{module.facts.class_name} masks actions that are legal, in {len(set(rows.tolist()))} of {len(mask)} decisions: "
            f"logit {actions[0]} is {logits[rows[0], columns[0]]:.3g} where the environment's mask allows it"
        )
        module.report("PAR111", module.place(int(rows[0])), message, {"legal_and_masked": actions})


def _repeatable(module: ModuleCheck, forward: Forward) -> None:
    first, second = forward.logits_first, forward.logits_again
    mask = _mask(module, first)
    if first.shape == mask.shape:
        # Without the logits of illegal actions, whose size says nothing.
        first, second = np.where(mask, first, 0), np.where(mask, second, 0)
        again = elementwise(second, first, scaled(module.tolerance, first))
        message = f"logits of the same batch differ by up to {again.max_abs:.3g} between two calls"
        module.require(again, "PAR104", message)


def _shapes(module: ModuleCheck, forward: Forward) -> None:
    logits, values, rows = forward.entry("logits", "train"), forward.optional("values_alone"), forward.batch_rows
    # A distribution class may take more than logits: the mask too, for one.
    wanted = module.facts.distribution_inputs or (sum(module.choices) if module.choices else logits.shape[-1])
    if logits.ndim != 2 or logits.shape[1] != wanted:
        _wrong_shape(module, "logits", list(logits.shape), [len(logits), wanted])
    if values is not None and values.shape != (rows,):
        _wrong_shape(module, "values", list(values.shape), [rows])


def _finite(module: ModuleCheck, forward: Forward) -> None:
    logits = forward.entry("logits", "train")
    mask = _mask(module, forward.logits_first)
    legal = np.where(mask, logits, 0.0) if logits.shape == mask.shape else logits
    for name, array in (("logits", legal), ("values", forward.optional("values"))):
        if array is None:
            continue
        bad = np.flatnonzero(~finite_rows(array))
        if len(bad):
            message = f"{name} of {len(bad)} of {len(array)} rows are not finite"
            module.report("PAR106", module.place(int(bad[0])), message, {"rows": len(bad)})


def _values_agree(module: ModuleCheck, forward: Forward) -> None:
    """compute_values alone, as GAE calls it, against the same with the embeddings of forward_train, as the loss calls it."""
    if not module.facts.compute_values:
        return
    alone, shared, valid = forward.values_alone, forward.values, module.rows.valid
    if alone.shape == valid.shape:
        difference = module.difference(shared, alone[valid], "values")
        message = f"compute_values with and without embeddings differ by up to {difference.max_abs:.3g}"
        module.require(difference, "PAR102", message, difference.where)


def _against_sb3(module: ModuleCheck, forward: Forward) -> None:
    if not module.has_sb3_network:
        if module.is_learning:
            reason = module.inputs.correspondence.reason
            module.rung.skipped.append(reason or "no parameters correspond")
        return
    for name, order in module.inputs.correspondence.columns.items():
        other = module.inputs.correspondence.pairs[name]
        moved = sum(column != place for place, column in enumerate(order))
        message = (
            f"{moved} of the {len(order)} inputs of {other} stand in other places than those of {module.other}'s {name}"
        )
        module.report("PAR113", f"parameter {other}", message, {"order": order})
    logits, reference = forward.entry("logits", "train"), forward.sb3_logits
    if logits.shape == reference.shape:
        mask = _mask(module, reference)
        ours, theirs = (legal_log_probabilities(each, mask, module.choices) for each in (logits, reference))
        difference = module.difference(ours, theirs, "logits")
        message = f"logits on legal actions differ by up to {difference.max_abs:.3g} ({difference.where})"
        message += _begins(forward, "logits")
        module.require(difference, "PAR101", message, difference.where, _beginning(forward, "logits"))
    if module.facts.compute_values:
        difference = module.difference(forward.values, forward.sb3_values, "values")
        message = f"values differ by up to {difference.max_abs:.3g} ({difference.where}){_begins(forward, 'values')}"
        module.require(difference, "PAR102", message, difference.where, _beginning(forward, "values"))


def _random_observations(module: ModuleCheck, forward: Forward) -> None:
    """The same on drawn observations, also where elements vary that were constant in the rollout."""
    if not module.has_sb3_network or not module.facts.mask_in_space:
        return
    _drawn(module, forward.random, "on randomly drawn observations")
    unseen = forward.optional("unseen")
    # Values that no rollout has shown may be none that either network is made for.
    if unseen is not None and np.isfinite(unseen.sb3_logits).all() and np.isfinite(unseen.sb3_values).all():
        _drawn(module, unseen, "where elements of the observation vary that were constant in the rollout")


def _drawn(module: ModuleCheck, outputs: RandomObservations, where: str) -> None:
    for name, ours, theirs in _both_sides(module, outputs, outputs.logits):
        difference = _on_random(ours, theirs, module.tolerance)
        message = f"{name} differ by up to {difference.max_abs:.3g} {where}"
        module.require(difference, "PAR101" if name == "logits" else "PAR102", message, difference.where)


def _both_sides(
    module: ModuleCheck, outputs: RandomObservations | ScaledWeights | UnitWeights, logits: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Log-probabilities of legal actions and values, each with its name, of the port and of SB3, where shapes are the same.

    Args:
        logits: the port's, among ``outputs``.
    """
    if logits.shape == outputs.sb3_logits.shape:
        mask = outputs.mask.astype(bool)
        ours, theirs = (legal_log_probabilities(each, mask, module.choices) for each in (logits, outputs.sb3_logits))
        yield "logits", ours, theirs
    if module.facts.compute_values and outputs.values.shape == outputs.sb3_values.shape:
        yield "values", outputs.values, outputs.sb3_values


def _scaled_weights(module: ModuleCheck, forward: Forward) -> None:
    """The same with weights scaled until outputs are as large as training makes them: what limits outputs shows only there."""
    if not module.has_sb3_network or not module.was_asked_for_scaled_weights(forward):
        return
    for name, ours, theirs in _both_sides(module, forward.scaled, forward.scaled.entry("logits", "train")):
        difference = _on_random(ours, theirs, SCALED_WEIGHTS)
        message = (
            f"with weights that let {module.other}'s {name} reach {np.abs(theirs).max():.3g}, the port's differ by up to "
            f"{difference.max_abs:.3g}"
        )
        module.require(difference, "PAR109", message, name)


def _unit_weights(module: ModuleCheck, forward: Forward) -> None:
    """The same with weights that give layers outputs of order 1: saturation or outputs near zero hide what differs."""
    if not module.has_sb3_network or not _has_unit_weights(module, forward):
        return
    for name, ours, theirs in _both_sides(module, forward.unit, forward.unit.logits):
        noise = MORE_THAN_NOISE * forward.unit.noise[name]
        tolerance = dataclasses.replace(SCALED_WEIGHTS, absolute=max(SCALED_WEIGHTS.absolute, noise))
        difference = elementwise(ours, theirs, scaled(tolerance, theirs), name)
        message = (
            f"with weights that give each layer outputs of order 1, {name} differ by up to {difference.max_abs:.3g}"
            f"{_begins(forward, name)}"
        )
        module.require(difference, "PAR110", message, name, _beginning(forward, name))


def _has_unit_weights(module: ModuleCheck, forward: Forward) -> bool:
    """Whether they were asked for: not every framework has them."""
    return f"unit weights {module.module}" in module.inputs.context.raised or forward.has("unit")


def _beginning(forward: Forward, name: str) -> dict[str, str]:
    """Where on the way to logits or values the networks part, as evidence."""
    begins = forward.unit.begins if forward.has("unit") and forward.unit.has("begins") else {}
    return {"begins": begins[name]} if name in begins else {}


def _begins(forward: Forward, name: str) -> str:
    return "".join(f"; {where}" for where in _beginning(forward, name).values())


def _on_random(ours: np.ndarray, theirs: np.ndarray, tolerance: Tolerance) -> Difference:
    return elementwise(ours, theirs, scaled(tolerance, theirs), "drawn observation", lambda row: f"row {row}")


def _inputs_used(module: ModuleCheck, forward: Forward) -> None:
    """Entries of the observation that change SB3's outputs change the port's."""
    for entry, (port, sb3) in (forward.optional("inputs") or {}).items():
        if port == 0 and sb3 > SOME:
            message = (
                f"other values of {entry} change {module.other}'s outputs by up to {sb3:.3g}, and the port's not at all"
            )
            module.report("PAR108", f"entry {entry}", message, {"entry": entry, "sb3_moves": float(sb3)})
