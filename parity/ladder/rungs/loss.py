"""Rung 5: each term of the loss on the first minibatch, and the total of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.difference import Difference, elementwise, per_tensor
from parity.ladder.rung_input import RungInput, RungReport, figures, scaled
from parity.ladder.rungs.attempt import attempt

TERMS = (("PAR501", "policy"), ("PAR502", "value"), ("PAR503", "entropy"))

# A fit of the loss's slope by its terms leaves float noise; a term of another form leaves more.
FITS = 1e-3
# Ratios that near to a bound of clipping lie on either side of it by float noise.
KINK = 1e-4


def loss(evidence: RungInput) -> RungReport:
    """SB3's terms on the same rows, with SB3's advantages or (explained) with the port's."""
    sheet = RungReport(5)
    attempt(sheet, _modules, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        attempt(sheet, _finite, evidence, module)
        attempt(sheet, _total, evidence, module)
        attempt(sheet, _terms, evidence, module)
        _far_from_one(sheet, evidence, module)
        if not any(found.module == module for found in sheet.found):
            _slopes(sheet, evidence, module)


def _finite(sheet: RungReport, evidence: RungInput, module: str) -> None:
    total = evidence.need(f"{module}/update/loss/total")
    bad = np.flatnonzero(~np.isfinite(total))
    if len(bad):
        message = (
            f"{len(bad)} of {len(total)} minibatches have a loss that is not finite, the first is number {int(bad[0])}"
        )
        where = f"module {module}, minibatch {int(bad[0])}"
        sheet.report("PAR505", where, message, {"minibatches": len(bad), "first": int(bad[0])}, module=module)


def _logged(evidence: RungInput, module: str) -> dict[str, np.ndarray]:
    """The terms that the learner logs; one that it does not log is NaN throughout."""
    terms = {name: evidence.need(f"{module}/update/loss/{name}") for _, name in TERMS}
    return {name: term for name, term in terms.items() if np.isfinite(term).any()}


def _combined(terms: dict[str, Any], settings: dict[str, Any]) -> Any:
    return terms["policy"] + settings["vf_coef"] * terms["value"] - settings["ent_coef"] * terms["entropy"]


def _total(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The total against the sum of its terms, in every minibatch: a further term shows once ratios have left 1."""
    total, terms = evidence.need(f"{module}/update/loss/total"), _logged(evidence, module)
    if len(terms) < len(TERMS):
        return
    expected = _combined(terms, evidence.settings(module))
    usable = np.isfinite(total) & np.isfinite(expected)
    difference = elementwise(total[usable], expected[usable], scaled(evidence.tolerance, expected), "total", _minibatch)
    if not sheet.compare(difference):
        message = f"the total loss is off the sum of its terms by up to {difference.max_abs:.3g} ({difference.where})"
        sheet.report("PAR504", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _terms(sheet: RungReport, evidence: RungInput, module: str) -> None:
    ours = _logged(evidence, module)
    with_sb3s = {name: evidence.need(f"{module}/sb3/first_sb3/loss/{name}")[:1] for _, name in TERMS}
    with_ports = {name: evidence.need(f"{module}/sb3/first_advantages/loss/{name}")[:1] for _, name in TERMS}
    # The surrogate is a mean of terms of the advantages' size, and may cancel to nothing.
    size = np.abs(evidence.need(f"{module}/batch/advantages")[evidence.need(f"{module}/rows/valid")])
    if not ours:
        sheet.skipped.append(f"the learner of module {module} logs no loss terms")
        return
    for code, name in TERMS:
        if name not in ours:
            continue
        theirs = with_sb3s[name]
        tolerance = scaled(evidence.tolerance, np.concatenate([theirs, size]) if name == "policy" else theirs)
        direct = elementwise(ours[name][:1], theirs, tolerance, name, _minibatch)
        explained = elementwise(ours[name][:1], with_ports[name], tolerance, name, _minibatch)
        if direct:
            sheet.compare(direct)
        elif sheet.compare(explained):
            sheet.explained.append(f"the {name} loss is SB3's with the port's advantages")
        else:
            found = {"port": float(ours[name][0]), "sb3": float(with_ports[name][0]), **figures(explained)}
            message = f"the {name} term of the first minibatch is {found['port']:.6g}, SB3's is {found['sb3']:.6g}"
            sheet.report(code, f"module {module}, minibatch 0", message, found, module=module)


def _far_from_one(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The surrogate where ratios spread from 1/2 to 2, against Schulman et al. 2017, equation 7, in float64.

    Minibatches of a short update hardly leave a ratio of 1: whether and how it is clipped shows here.
    """
    stress = {name: array.astype(np.float64) for name, array in evidence.numbers.below(f"{module}/stress").items()}
    settings, logged = evidence.settings(module), stress.get("loss/policy")
    if (
        logged is None
        or not np.isfinite(logged).all()
        or any(not np.isfinite(stress[name]).all() for name in ("logp", "old_logp", "advantages"))
    ):
        return
    clip, advantages = settings["clip_range"], stress["advantages"]
    ratio = np.exp(stress["logp"] - stress["old_logp"])
    found = {}
    # RLlib's come standardised over the batch, SB3's are over the minibatch, with ddof 1 (ppo_mask.py:349).
    spread = advantages.std(ddof=1) + 1e-8 if len(advantages) > 1 else 1.0
    for name, a in (("as they are", advantages), ("normalised", (advantages - advantages.mean()) / spread)):
        expected = -np.minimum(a * ratio, a * np.clip(ratio, 1 - clip, 1 + clip)).mean()
        size = np.concatenate([np.abs(a) * ratio, [1.0]])
        found[name] = (expected, elementwise(logged, np.array([expected]), scaled(evidence.tolerance, size), "policy"))
    if settings["normalize_advantage"] and found["normalised"][1]:
        sheet.compare(found["normalised"][1])
        return
    expected, difference = found["as they are"]
    if not sheet.compare(difference):
        message = (
            f"with ratios from {ratio.min():.2g} to {ratio.max():.2g} the policy term is {logged[0]:.6g}; clipped at "
            f"{clip:g} it would be {expected:.6g}"
        )
        figures_ = {"port": float(logged[0]), "reference": float(expected), "clip_range": clip, **figures(difference)}
        sheet.report("PAR501", f"module {module}, ratios far from 1", message, figures_, module=module)


def _slopes(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The loss by its slopes at the logits and values, where ratios are far from 1: what a learner logs is not what it
    minimises, and one with a loss of its own may log nothing."""
    settings = evidence.settings(module)
    by_logits = _off_the_kinks(evidence, module, settings["clip_range"])
    if by_logits and not evidence.facts["config"].get("rllib", {}).get("use_kl_loss", False):
        surrogates = [by_logits[name] for name in (["normalised"] if settings["normalize_advantage"] else [])] + [
            by_logits["policy"]
        ]
        fits = [_fit(by_logits["total"], [surrogate, by_logits["entropy"]]) for surrogate in surrogates]
        wanted = [1.0, -settings["ent_coef"]]
        held = [_slope(evidence, by_logits["total"], [s, by_logits["entropy"]], wanted, "logits") for s in surrogates]
        difference = min(held, key=lambda each: each.tolerance_needed)
        if not sheet.compare(difference):
            (policy, entropy), left = min(fits, key=lambda fit: fit[1])
            found = {"policy": policy, "entropy": entropy, "left_over": left, "ent_coef": settings["ent_coef"]}
            where = f"module {module}, slope at the logits"
            if left > FITS:
                message = (
                    f"with ratios from 1/2 to 2, {left:.1%} of what pulls at the logits is neither the clipped surrogate "
                    "nor the entropy"
                )
                sheet.report("PAR501", where, message, found, module=module)
            elif abs(policy - 1) > FITS:
                message = f"the policy's part of the loss that is minimised has a weight of {policy:.4g} instead of 1"
                sheet.report("PAR504", where, message, found, module=module)
            else:
                message = (
                    f"the entropy's coefficient in the loss is {-entropy:.4g}, the task's is {settings['ent_coef']:g}"
                )
                sheet.report("PAR503", where, message, found, module=module)
    by_values = {n: a.astype(np.float64) for n, a in evidence.numbers.below(f"{module}/stress/by_values").items()}
    if (
        not by_values
        or settings["clip_range_vf"] is not None
        or not all(np.isfinite(a).all() for a in by_values.values())
    ):
        return
    difference = _slope(evidence, by_values["total"], [by_values["value"]], [settings["vf_coef"]], "values")
    if not sheet.compare(difference):
        (weight,), left = _fit(by_values["total"], [by_values["value"]])
        message = (
            f"the squared value error has a weight of {weight:.4g} in the loss, vf_coef is {settings['vf_coef']:g}"
            if left <= FITS
            else f"{left:.1%} of what pulls at the values is not the squared error"
        )
        found = {"weight": weight, "left_over": left, "vf_coef": settings["vf_coef"]}
        sheet.report("PAR502", f"module {module}, slope at the values", message, found, module=module)


def _off_the_kinks(evidence: RungInput, module: str, clip: float) -> dict[str, np.ndarray]:
    """``M/stress/by_logits`` in float64 without rows whose ratio is so near a bound that noise decides about the slope."""
    arrays = {n: a.astype(np.float64) for n, a in evidence.numbers.below(f"{module}/stress/by_logits").items()}
    if not arrays or not all(np.isfinite(array).all() for array in arrays.values()):
        return {}
    logp, old = (evidence.need(f"{module}/stress/{name}").astype(np.float64) for name in ("logp", "old_logp"))
    ratio = np.exp(logp - old)
    clear = (np.abs(ratio - 1 - clip) > KINK) & (np.abs(ratio - 1 + clip) > KINK)
    return {name: array[clear] for name, array in arrays.items()}


def _slope(
    evidence: RungInput, total: np.ndarray, parts: list[np.ndarray], weights: list[float], name: str
) -> Difference:
    """As the gradient of a tensor."""
    expected = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return per_tensor({name: total}, {name: np.asarray(expected)}, evidence.tolerance)


def _fit(total: np.ndarray, parts: list[np.ndarray]) -> tuple[list[float], float]:
    """Weights of the parts that come nearest to the total, and the share of it that is left over."""
    weights, *_ = np.linalg.lstsq(np.stack([part.ravel() for part in parts], axis=1), total.ravel(), rcond=None)
    left = total - sum(weight * part for weight, part in zip(weights, parts, strict=True))
    size = float(np.linalg.norm(total))
    return [float(weight) for weight in weights], float(np.linalg.norm(left)) / size if size > 0 else 0.0


def _minibatch(row: int) -> str:
    return f"minibatch {row}"
