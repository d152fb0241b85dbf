"""Rung 5: each term of the loss on the first minibatch, and the total of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.difference import Difference, elementwise, per_tensor
from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules, scaled
from parity.results.capture import Arrays, Loss, LossTerms, Stress

TERMS = (("PAR501", "policy"), ("PAR502", "value"), ("PAR503", "entropy"))

# A fit of the loss's slope by its terms leaves float noise; a term of another form leaves more.
FITS = 1e-3
# Ratios that near to a bound of clipping lie on either side of it by float noise.
KINK = 1e-4
# Advantages with that mean, and a standard deviation that far from 1, count as standardised; so do constant ones, see PAR401.
STANDARDISED = 0.05


def loss(inputs: RungInput, capture: dict[str, Loss]) -> RungReport:
    """SB3's terms on the same rows, with SB3's advantages or (explained) with the port's."""
    return check_modules(5, inputs, capture, Loss, _finite, _total, _terms, _ratios_far_from_one, _slopes)


def _finite(module: ModuleCheck, loss: Loss) -> None:
    total = loss.terms.total
    bad = np.flatnonzero(~np.isfinite(total))
    if len(bad):
        first = int(bad[0])
        message = f"{len(bad)} of {len(total)} minibatches have a loss that is not finite, the first is number {first}"
        module.report("PAR505", _minibatch(first), message, {"minibatches": len(bad), "first": first})


def _logged(loss: Loss) -> Arrays:
    """The terms that the learner logs; one that it does not log is NaN throughout."""
    terms = {name: getattr(loss.terms, name) for _, name in TERMS}
    return {name: term for name, term in terms.items() if np.isfinite(term).any()}


def _total(module: ModuleCheck, loss: Loss) -> None:
    """The total against the sum of its terms, in every minibatch: a further term shows once ratios have left 1."""
    total, terms, settings = loss.terms.total, _logged(loss), module.settings
    if len(terms) < len(TERMS):
        return
    expected = terms["policy"] + settings["vf_coef"] * terms["value"] - settings["ent_coef"] * terms["entropy"]
    usable = np.isfinite(total) & np.isfinite(expected)
    difference = elementwise(total[usable], expected[usable], scaled(module.tolerance, expected), "total", _minibatch)
    message = f"the total loss is off the sum of its terms by up to {difference.max_abs:.3g} ({difference.where})"
    module.require(difference, "PAR504", message, difference.where)


def _terms(module: ModuleCheck, loss: Loss) -> None:
    ours = _logged(loss)
    with_sb3s: LossTerms = loss.entry("sb3", "sb3")
    with_ports: LossTerms = loss.entry("sb3", "advantages")
    # The surrogate is a mean of terms of the advantages' size, and may cancel to nothing.
    size = np.abs(loss.advantages[module.rows.valid])
    if not ours:
        module.rung.skipped.append(f"the learner of module {module.module} logs no loss terms")
        return
    for code, name in TERMS:
        if name not in ours:
            continue
        theirs, explaining = getattr(with_sb3s, name)[:1], getattr(with_ports, name)[:1]
        tolerance = scaled(module.tolerance, np.concatenate([theirs, size]) if name == "policy" else theirs)
        direct = elementwise(ours[name][:1], theirs, tolerance, name, _minibatch)
        explained = elementwise(ours[name][:1], explaining, tolerance, name, _minibatch)
        if direct:
            module.rung.compare(direct)
            continue
        port, sb3 = float(ours[name][0]), float(explaining[0])
        message = f"the {name} term of the first minibatch is {port:.6g}, {module.other}'s is {sb3:.6g}"
        if module.require(explained, code, message, _minibatch(0), {"port": port, "sb3": sb3}):
            if name == "policy" and not _standardised(module, loss.advantages):
                continue
            module.rung.explained.append(f"the {name} loss is {module.other}'s with the port's advantages")


def _standardised(module: ModuleCheck, advantages: np.ndarray) -> bool:
    """Whether the advantages that the loss uses as they are have been standardised somewhere, where SB3 does it."""
    everywhere = [advantages, advantages[module.rows.valid]]
    off = min(max(abs(float(each.mean())), abs(float(each.std()) - 1)) for each in everywhere)
    spread = float(advantages.std())
    if not module.settings["normalize_advantage"] or off < STANDARDISED or spread < STANDARDISED:
        return True
    message = (
        f"the loss takes advantages as they are, and nobody standardises them: mean {advantages.mean():.3g}, standard "
        f"deviation {spread:.3g}; {module.other} standardises them within each minibatch"
    )
    fix = "Keep GeneralAdvantageEstimation among the learner connectors, or standardise in the learner's loss."
    evidence = {"mean": float(advantages.mean()), "standard_deviation": spread}
    module.report("PAR405", _minibatch(0), message, evidence, fix=fix)
    return False


def _ratios_far_from_one(module: ModuleCheck, loss: Loss) -> None:
    """The surrogate where ratios spread from 1/2 to 2, against Schulman et al. 2017, equation 7, in float64.

    Minibatches of a short update hardly leave a ratio of 1: whether and how it is clipped shows here.
    """
    if not loss.has("stress") or not loss.stress.has("loss") or not loss.stress.loss.has("policy"):
        return
    stress, settings, logged = loss.stress, module.settings, loss.stress.loss.policy.astype(np.float64)
    advantages = stress.advantages.astype(np.float64)
    if not all(np.isfinite(each).all() for each in (logged, stress.log_prob, stress.old_log_prob, advantages)):
        return
    clip, ratio = settings["clip_range"], _ratio(stress)
    # RLlib's come standardised over the batch, SB3's are over the minibatch, with ddof 1 (ppo_mask.py:349).
    spread = advantages.std(ddof=1) + 1e-8 if len(advantages) > 1 else 1.0

    def compared(a: np.ndarray) -> tuple[float, Difference]:
        expected = -np.minimum(a * ratio, a * np.clip(ratio, 1 - clip, 1 + clip)).mean()
        allowed = scaled(module.tolerance, np.concatenate([np.abs(a) * ratio, [1.0]]))
        return expected, elementwise(logged, np.array([expected]), allowed, "policy")

    _, normalised = compared((advantages - advantages.mean()) / spread)
    if settings["normalize_advantage"] and normalised:
        module.rung.compare(normalised)
        return
    expected, difference = compared(advantages)
    message = (
        f"with ratios from {ratio.min():.2g} to {ratio.max():.2g} the policy term is {logged[0]:.6g}; clipped at "
        f"{clip:g} it would be {expected:.6g}"
    )
    evidence = {"port": float(logged[0]), "reference": float(expected), "clip_range": clip}
    module.require(difference, "PAR501", message, "ratios far from 1", evidence)


def _slopes(module: ModuleCheck, loss: Loss) -> None:
    """The loss by its slopes at the logits and values, where ratios are far from 1: what a learner logs is not what it
    minimises, and one with a loss of its own may log nothing."""
    if not loss.has("stress") or any(finding.module == module.module for finding in module.rung.findings):
        return
    if not module.inputs.configuration.native.get("use_kl_loss", False):
        _slope_at_logits(module, loss.stress)
    _slope_at_values(module, loss.stress)


def _slope_at_logits(module: ModuleCheck, stress: Stress) -> None:
    settings = module.settings
    by_logits = _off_the_kinks(stress, settings["clip_range"])
    if not by_logits:
        return
    total, entropy_part = by_logits["total"], by_logits["entropy"]
    surrogates = [
        by_logits[name] for name in ("normalised", "policy") if name == "policy" or settings["normalize_advantage"]
    ]
    weights = [1.0, -settings["ent_coef"]]
    differences = [_slope(module, total, [each, entropy_part], weights, "logits") for each in surrogates]
    difference = min(differences, key=lambda each: each.tolerance_needed)
    if module.rung.compare(difference):
        return
    fits = [_fit(total, [each, entropy_part]) for each in surrogates]
    (policy, entropy), left = min(fits, key=lambda fit: fit[1])
    if left > FITS:
        code = "PAR501"
        message = (
            f"with ratios from 1/2 to 2, {left:.1%} of the loss's slope at the logits comes from neither the clipped "
            "surrogate nor the entropy"
        )
    elif abs(policy - 1) > FITS:
        code = "PAR504"
        message = f"the policy term has a weight of {policy:.4g} instead of 1 in the loss that is minimised"
    else:
        code = "PAR503"
        message = f"the entropy's coefficient in the loss is {-entropy:.4g}, the task's is {settings['ent_coef']:g}"
    evidence = {"policy": policy, "entropy": entropy, "left_over": left, "ent_coef": settings["ent_coef"]}
    module.report(code, "slope at the logits", message, evidence)


def _slope_at_values(module: ModuleCheck, stress: Stress) -> None:
    by_values, settings = _all_finite(stress.by_values), module.settings
    if "vf_clip_param" in module.inputs.configuration.task:
        # Both sides clamp the squared error: rows beyond have no slope.
        felt = by_values.get("total", np.zeros(0)) != 0
        by_values = {name: slope[felt] for name, slope in by_values.items()} if felt.any() else {}
    if not by_values or settings["clip_range_vf"] is not None:
        return
    difference = _slope(module, by_values["total"], [by_values["value"]], [settings["vf_coef"]], "values")
    if module.rung.compare(difference):
        return
    (weight,), left = _fit(by_values["total"], [by_values["value"]])
    message = (
        f"the squared value error has a weight of {weight:.4g} in the loss, vf_coef is {settings['vf_coef']:g}"
        if left <= FITS
        else f"{left:.1%} of the loss's slope at the values does not come from the squared error"
    )
    evidence = {"weight": weight, "left_over": left, "vf_coef": settings["vf_coef"]}
    module.report("PAR502", "slope at the values", message, evidence)


def _all_finite(arrays: Arrays) -> Arrays:
    """In float64; none of them where one is not finite."""
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return {}
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _ratio(stress: Stress) -> np.ndarray:
    return np.exp(stress.log_prob.astype(np.float64) - stress.old_log_prob.astype(np.float64))


def _off_the_kinks(stress: Stress, clip: float) -> Arrays:
    """``Stress.by_logits`` without rows whose ratio is so near a bound that noise decides about the slope."""
    by_logits = _all_finite(stress.by_logits)
    if not by_logits:
        return {}
    ratio = _ratio(stress)
    clear = (np.abs(ratio - 1 - clip) > KINK) & (np.abs(ratio - 1 + clip) > KINK)
    return {name: array[clear] for name, array in by_logits.items()}


def _slope(
    module: ModuleCheck, total: np.ndarray, parts: list[np.ndarray], weights: list[float], name: str
) -> Difference:
    """As the gradient of a tensor."""
    expected: Any = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return per_tensor({name: total}, {name: np.asarray(expected)}, module.tolerance)


def _fit(total: np.ndarray, parts: list[np.ndarray]) -> tuple[list[float], float]:
    """Weights of the parts that come nearest to the total, and the share of it that is left over."""
    weights, *_ = np.linalg.lstsq(np.stack([part.ravel() for part in parts], axis=1), total.ravel(), rcond=None)
    left = total - sum(weight * part for weight, part in zip(weights, parts, strict=True))
    size = float(np.linalg.norm(total))
    return [float(weight) for weight in weights], float(np.linalg.norm(left)) / size if size > 0 else 0.0


def _minibatch(row: int) -> str:
    return f"minibatch {row}"
