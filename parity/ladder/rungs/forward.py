"""Rung 1: logits on legal actions and values, on the same weights and observations."""

from __future__ import annotations

import numpy as np

from parity.ladder.difference import elementwise
from parity.ladder.rung_input import RungInput, RungReport, compare_column, figures, scaled
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.legal import legal_log_probabilities
from parity.ladder.tolerances import GROWN

# Far above float32's noise on outputs of order 1.
SOME = 1e-4


def forward(evidence: RungInput) -> RungReport:
    """Against SB3's network where parameters correspond; and what needs no counterpart: shapes, NaN, repeatability."""
    sheet = RungReport(1)
    attempt(sheet, _modules, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        _batch_left_alone(sheet, evidence, module)
        _outputs_of_drawn(sheet, evidence, module)
        attempt(sheet, _own, evidence, module)
        if evidence.is_same_network(module):
            attempt(sheet, _against_sb3, evidence, module)
        elif module == evidence.learning:
            correspondence = evidence.fact("correspondence", parts=("build",))
            sheet.skipped.append(correspondence["reason"] or "no parameters correspond")
        attempt(sheet, _drawn, evidence, module)
        attempt(sheet, _grown, evidence, module)
        _inputs_used(sheet, evidence, module)
        attempt(sheet, _values_agree, evidence, module)
    for module in evidence.beyond():
        sheet.explained.append(f"module {module} has actions that MaskablePPO has not, and is not compared")


def _mask(evidence: RungInput, module: str, like: np.ndarray) -> np.ndarray:
    mask = evidence.numbers.get(f"{module}/env/mask")
    return np.ones(like.shape, dtype=bool) if mask is None else mask


def _batch_left_alone(sheet: RungReport, evidence: RungInput, module: str) -> None:
    changed = evidence.facts.get("batch_changed", {}).get(module, [])
    if changed:
        name = evidence.about(module)["class"]
        message = f"after the forward pass of {name} the batch has other contents: {', '.join(changed)}"
        sheet.report("PAR103", f"module {module}", message, {"columns": changed}, module=module)


def _outputs_of_drawn(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """Shape and finiteness without a rollout, which wrong ones may have stopped."""
    mask = evidence.numbers.get(f"{module}/space/mask")
    if mask is None or f"{module}/phase/train/logits" in evidence.numbers:
        return
    name = evidence.about(module)["class"]
    for column, wanted in (("logits", list(mask.shape)), ("values", [len(mask)])):
        outputs = evidence.numbers.get(f"{module}/space/{column}")
        if outputs is None:
            continue
        if list(outputs.shape) != wanted:
            message = f"{column} of {name} have shape {list(outputs.shape)}, wanted {wanted}"
            found = {"shape": list(outputs.shape), "wanted": wanted}
            sheet.report("PAR105", f"module {module}, {column}", message, found, module=module)
            continue
        used = outputs if column == "values" else np.where(mask.astype(bool), outputs, 0.0)
        bad = int((~np.isfinite(used.reshape(len(used), -1))).any(axis=1).sum())
        if bad:
            message = f"{column} of {bad} of {len(used)} observations drawn from the space are not finite"
            sheet.report("PAR106", f"module {module}, {column}", message, {"rows": bad}, module=module)


def _own(sheet: RungReport, evidence: RungInput, module: str) -> None:
    where = f"module {module}"
    logits = evidence.need(f"{module}/phase/train/logits")
    first, second = evidence.need(f"{module}/twice/first"), evidence.need(f"{module}/twice/second")
    mask = _mask(evidence, module, first)
    if first.shape == mask.shape:
        # Without the logits of illegal actions, whose size says nothing.
        legal_first, legal_second = np.where(mask, first, 0), np.where(mask, second, 0)
        again = elementwise(legal_second, legal_first, scaled(evidence.tolerance, legal_first))
        if not sheet.compare(again):
            message = f"logits of the same batch differ by up to {again.max_abs:.3g} between two calls"
            sheet.report("PAR104", where, message, figures(again), module=module)
    _shapes(sheet, evidence, module)
    values = evidence.numbers.get(f"{module}/phase/train/values")
    legal = np.where(mask, logits, 0.0) if logits.shape == mask.shape else logits
    for name, array in (("logits", legal), ("values", values)):
        if array is not None and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            bad = int((~np.isfinite(array.reshape(len(array), -1))).any(axis=1).sum())
            message = f"{name} of {bad} of {len(array)} rows are not finite"
            place = f"{where}, {evidence.rows(module)(row)}"
            sheet.report("PAR106", place, message, {"rows": bad}, module=module)


def _shapes(sheet: RungReport, evidence: RungInput, module: str) -> None:
    about = evidence.about(module)
    rows = len(evidence.need(f"{module}/batch/actions"))
    logits, values = evidence.need(f"{module}/phase/train/logits"), evidence.numbers.get(f"{module}/values")
    # A distribution class may take more than logits: the mask too, for one.
    wanted = about.get("distribution_inputs") or (sum(about["choices"]) if about["choices"] else logits.shape[-1])
    wrong = {}
    if logits.ndim != 2 or logits.shape[1] != wanted:
        wrong["logits"] = {"shape": list(logits.shape), "wanted": [len(logits), wanted]}
    if values is not None and values.shape != (rows,):
        wrong["values"] = {"shape": list(values.shape), "wanted": [rows]}
    for name, shapes in wrong.items():
        message = f"{name} of {about['class']} have shape {shapes['shape']}, wanted {shapes['wanted']}"
        sheet.report("PAR105", f"module {module}, {name}", message, shapes, module=module)


def _values_agree(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """compute_values by itself, as GAE calls it, and with the embeddings of forward_train, as the loss does."""
    if not evidence.about(module).get("compute_values", True):
        return
    alone, shared = evidence.need(f"{module}/values"), evidence.need(f"{module}/phase/train/values")
    valid = evidence.need(f"{module}/rows/valid")
    if alone.shape != valid.shape:
        return
    difference = compare_column(evidence, module, shared, alone[valid], "values")
    if not sheet.compare(difference):
        message = f"compute_values with and without embeddings differ by up to {difference.max_abs:.3g}"
        sheet.report("PAR102", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _against_sb3(sheet: RungReport, evidence: RungInput, module: str) -> None:
    choices = evidence.about(module)["choices"]
    logits, reference = evidence.need(f"{module}/phase/train/logits"), evidence.need(f"{module}/sb3/logits")
    mask = _mask(evidence, module, reference)
    if logits.shape == reference.shape:
        ours, theirs = (legal_log_probabilities(each, mask, choices) for each in (logits, reference))
        difference = compare_column(evidence, module, ours, theirs, "logits")
        if not sheet.compare(difference):
            message = f"logits on legal actions differ by up to {difference.max_abs:.3g} ({difference.where})"
            sheet.report("PAR101", f"module {module}, {difference.where}", message, figures(difference), module=module)
    if evidence.about(module).get("compute_values", True):
        values = evidence.need(f"{module}/phase/train/values")
        difference = compare_column(evidence, module, values, evidence.need(f"{module}/sb3/values"), "values")
        if not sheet.compare(difference):
            message = f"values differ by up to {difference.max_abs:.3g} ({difference.where})"
            sheet.report("PAR102", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _drawn(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The same on observations drawn from the space: inputs that were constant in the rollout show here."""
    if not evidence.is_same_network(module) or not evidence.about(module)["mask_in_space"]:
        return
    choices = evidence.about(module)["choices"]
    mask = evidence.need(f"{module}/space/mask").astype(bool)
    logits, reference = evidence.need(f"{module}/space/logits"), evidence.need(f"{module}/sb3/space/logits")
    if logits.shape == reference.shape:
        ours, theirs = (legal_log_probabilities(each, mask, choices) for each in (logits, reference))
        difference = elementwise(ours, theirs, scaled(evidence.tolerance, theirs), "drawn observation", _row)
        if not sheet.compare(difference):
            message = f"logits differ by up to {difference.max_abs:.3g} on observations drawn from the space"
            sheet.report("PAR101", f"module {module}, {difference.where}", message, figures(difference), module=module)
    if evidence.about(module).get("compute_values", True):
        values, reference = evidence.need(f"{module}/space/values"), evidence.need(f"{module}/sb3/space/values")
        if values.shape != reference.shape:
            return
        difference = elementwise(values, reference, scaled(evidence.tolerance, reference), "drawn observation", _row)
        if not sheet.compare(difference):
            message = f"values differ by up to {difference.max_abs:.3g} on observations drawn from the space"
            sheet.report("PAR102", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _grown(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The same once outputs are as far apart as training makes them: what limits them shows there alone."""
    if not evidence.is_same_network(module) or not evidence.has_grown(module):
        return
    mask, choices = evidence.need(f"{module}/space/mask").astype(bool), evidence.about(module)["choices"]
    sides = {"logits": (f"{module}/grown/phase/train/logits", f"{module}/sb3/grown/logits")}
    if evidence.about(module).get("compute_values", True):
        sides["values"] = (f"{module}/grown/values", f"{module}/sb3/grown/values")
    for name, (port, sb3) in sides.items():
        ours, theirs = evidence.need(port), evidence.need(sb3)
        if ours.shape != theirs.shape:
            continue
        if name == "logits":
            ours, theirs = (legal_log_probabilities(each, mask, choices) for each in (ours, theirs))
        difference = elementwise(ours, theirs, scaled(GROWN, theirs), "drawn observation", _row)
        if not sheet.compare(difference):
            message = (
                f"with weights that let SB3's {name} reach {np.abs(theirs).max():.3g}, the port's differ by up to "
                f"{difference.max_abs:.3g}"
            )
            sheet.report("PAR109", f"module {module}, {name}", message, figures(difference), module=module)


def _inputs_used(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """Entries of the observation that move SB3's outputs move the port's."""
    for entry, (port, sb3) in evidence.numbers.below(f"{module}/inputs").items():
        if port == 0 and sb3 > SOME:
            message = f"other values of {entry} change SB3's outputs by up to {sb3:.3g}, and the port's not at all"
            found = {"entry": entry, "sb3_moves": float(sb3)}
            sheet.report("PAR108", f"module {module}, entry {entry}", message, found, module=module)


def _row(row: int) -> str:
    return f"row {row}"
