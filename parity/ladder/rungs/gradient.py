"""Rung 6: the gradient of the first minibatch, parameter by parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.difference import per_tensor
from parity.ladder.rung_input import RungInput, RungReport, figures
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.shares import NOTHING

# A gradient that is cut is not within a tenth of the right one.
SMALL_BUT_RIGHT = 0.1


def gradient(evidence: RungInput) -> RungReport:
    """Finite, not zero where the parameter matters, and SB3's (with its own or, explained, the port's advantages)."""
    sheet = RungReport(6)
    attempt(sheet, _modules, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        attempt(sheet, _finite, evidence, module)
        attempt(sheet, _reaches, evidence, module)
        _strays(sheet, evidence, module)
        attempt(sheet, _against_sb3, evidence, module)
        _clipped(sheet, evidence, module)


def _finite(sheet: RungReport, evidence: RungInput, module: str) -> None:
    raw = evidence.need_below(f"{module}/update/raw_gradient")
    bad = [name for name, array in raw.items() if not np.isfinite(array).all()]
    if bad:
        message = f"the gradients of {len(bad)} of {len(raw)} parameters are not finite, the first is {bad[0]}"
        where = f"module {module}, parameter {bad[0]}"
        sheet.report("PAR601", where, message, {"parameters": bad}, module=module)


def without_gradient(evidence: RungInput, module: str) -> list[str]:
    """Parameters that are to be trained and whose gradient is missing or zero but for float noise."""
    about = evidence.about(module)
    raw = evidence.numbers.below(f"{module}/update/raw_gradient")
    wanted = [name for name in about["parameters"] if name not in about["frozen"]]
    zero = zeros(raw)
    return [name for name in wanted if name not in raw or name in zero]


def zeros(gradients: dict[str, np.ndarray]) -> set[str]:
    """Names of gradients whose norm is nothing beside the largest."""
    norms = {name: float(np.linalg.norm(array.astype(np.float64))) for name, array in gradients.items()}
    largest = max((norm for norm in norms.values() if np.isfinite(norm)), default=0.0)
    return {name for name, norm in norms.items() if norm <= NOTHING * largest}


def _reaches(sheet: RungReport, evidence: RungInput, module: str) -> None:
    evidence.need(f"{module}/update/rows")
    reach = evidence.need_below(f"{module}/reach")
    sb3 = evidence.as_ports(module, evidence.numbers.below(f"{module}/sb3/first_sb3/gradient"))
    settings = evidence.settings(module)
    off = zeros(sb3)
    cut: dict[str, Any] = {}
    unused: list[str] = []
    for name in without_gradient(evidence, module):
        # By the same weights and rows SB3's gradient is zero too where a unit is off or an input is dead.
        if evidence.is_same_network(module) and (name in off or _is_sb3s(evidence, module, name)):
            continue
        policy, value = (float(each) for each in reach[name])
        if policy == 0 and value == 0:
            unused.append(name)
        elif policy > 0 or settings["vf_coef"] > 0:
            cut[name] = {"log_probability_moves": policy, "value_moves": value}
    where = f"module {module}, parameter "
    if cut:
        names = list(cut)
        total = len(evidence.about(module)["parameters"])
        message = (
            f"{len(cut)} of {total} parameters change the outputs and have no gradient: {', '.join(names[:4])}"
            f"{', …' if len(names) > 4 else ''}"
        )
        sheet.report("PAR602", where + names[0], message, {"parameters": cut}, module=module)
    if unused:
        message = f"{len(unused)} parameters change no output on this rollout: {', '.join(unused[:4])}"
        sheet.report("PAR604", where + unused[0], message, {"parameters": unused}, module=module)
    frozen = [name for name in evidence.about(module)["frozen"] if name in sb3 and sb3[name].any()]
    if frozen and evidence.is_same_network(module):
        message = f"{len(frozen)} parameters have requires_grad=False and are trained by SB3: {', '.join(frozen[:4])}"
        sheet.report("PAR605", where + frozen[0], message, {"parameters": frozen}, module=module)


def _strays(sheet: RungReport, evidence: RungInput, module: str) -> None:
    shapes = evidence.facts.get("strays", {}).get(module)
    if shapes:
        listed = ", ".join(map(str, shapes[:4]))
        message = f"{len(shapes)} tensors with a gradient reach the outputs and belong to no module: shapes {listed}"
        sheet.report("PAR606", f"module {module}", message, {"shapes": shapes}, module=module)


def _is_sb3s(evidence: RungInput, module: str, name: str) -> bool:
    """Whether a gradient that is nothing beside the largest (of a value head with a large scale, say) is SB3's all the same."""
    raw, ours = (evidence.numbers.get(f"{module}/update/{kind}/{name}") for kind in ("raw_gradient", "gradient"))
    theirs = evidence.as_ports(module, evidence.numbers.below(f"{module}/sb3/first_advantages/gradient")).get(name)
    if raw is None or ours is None or theirs is None or not (raw.any() and ours.any()):
        return False
    return bool(np.linalg.norm(ours.astype(np.float64) - theirs) <= SMALL_BUT_RIGHT * np.linalg.norm(theirs))


def _against_sb3(sheet: RungReport, evidence: RungInput, module: str) -> None:
    ours = _trained(evidence, module, evidence.need_below(f"{module}/update/gradient"))
    theirs = {
        run: _trained(evidence, module, evidence.as_ports(module, evidence.need_below(f"{module}/sb3/{run}/gradient")))
        for run in ("first_sb3", "first_advantages")
    }
    ours |= {name: np.zeros_like(a) for name, a in theirs["first_sb3"].items() if name not in ours and not a.any()}
    direct = per_tensor(ours, theirs["first_sb3"], evidence.tolerance)
    explained = per_tensor(ours, theirs["first_advantages"], evidence.tolerance)
    if direct:
        sheet.compare(direct)
    elif sheet.compare(explained):
        sheet.explained.append("the gradient is SB3's with the port's advantages")
        sheet.shares["advantages"] = max(sheet.shares.get("advantages", 0.0), direct.max_rel)
    else:
        message = f"gradients differ by up to {explained.max_rel:.3g} of their norm ({explained.where})"
        where = f"module {module}, parameter {explained.where}"
        sheet.report("PAR603", where, message, figures(explained), module=module)


def _clipped(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """A gradient far above the bound against the global norm's clipping, which real ones need not reach."""
    long, clipped = (evidence.numbers.below(f"{module}/stress/{name}") for name in ("gradient", "clipped"))
    if not long or not clipped:
        return
    bound = evidence.settings(module)["max_grad_norm"]
    norm = float(np.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in long.values())))
    factor = min(1.0, bound / norm)
    expected = {name: array.astype(np.float64) * factor for name, array in long.items() if name in clipped}
    difference = per_tensor(clipped, expected, evidence.tolerance)
    if not sheet.compare(difference):
        after = float(np.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in clipped.values())))
        message = f"a gradient of norm {norm:.4g} is clipped to {after:.4g}, and max_grad_norm is {bound:g}"
        found = {"norm": norm, "clipped": after, "max_grad_norm": bound, **figures(difference)}
        sheet.report("PAR603", f"module {module}, clipping", message, found, module=module)


def _trained(evidence: RungInput, module: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without parameters that have no gradient on either side by right: frozen ones are judged by themselves."""
    frozen = set(evidence.about(module)["frozen"])
    return {name: array for name, array in arrays.items() if name not in frozen}
