"""Rung 6: the gradient of the first minibatch, parameter by parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.difference import per_tensor
from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules
from parity.ladder.rungs.shares import NOTHING, noise_floors, say_noise
from parity.results.capture import Arrays, Gradient

# Of the largest change of an output when a parameter is disturbed by a hundredth: float32's noise is below it.
FLOAT_NOISE = 1e-4
# A gradient that is cut is not within a tenth of the right one.
SMALL_BUT_RIGHT = 0.1


def gradient(inputs: RungInput, capture: dict[str, Gradient]) -> RungReport:
    """Finite, not zero where the parameter matters, and SB3's (with its own or, explained, the port's advantages)."""
    checks = (_finite, _present, _unregistered_tensors, _against_sb3, _clipped)
    return check_modules(6, inputs, capture, Gradient, *checks)


def _finite(module: ModuleCheck, gradient: Gradient) -> None:
    bad = [name for name, array in gradient.raw.items() if not np.isfinite(array).all()]
    if bad:
        message = f"the gradients of {len(bad)} of {len(gradient.raw)} parameters are not finite, the first is {bad[0]}"
        module.report("PAR601", f"parameter {bad[0]}", message, {"parameters": bad})


def without_gradient(module: ModuleCheck, raw: Arrays) -> list[str]:
    """Parameters that are to be trained and whose gradient (of ``raw``) is missing or zero but for float noise."""
    trained = [name for name in module.facts.parameters if name not in module.facts.frozen]
    zero = zeros(raw)
    return [name for name in trained if name not in raw or name in zero]


def zeros(gradients: Arrays) -> set[str]:
    """Names of gradients whose norm is nothing against the largest."""
    norms = {name: _norm(array) for name, array in gradients.items()}
    largest = max((norm for norm in norms.values() if np.isfinite(norm)), default=0.0)
    return {name for name, norm in norms.items() if norm <= NOTHING * largest}


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


def _sb3s(module: ModuleCheck, gradient: Gradient, run: str) -> Arrays:
    """SB3's gradient by the port's names; empty where it was not collected."""
    return module.by_port_names((gradient.optional("sb3") or {}).get(run, {}))


def _present(module: ModuleCheck, gradient: Gradient) -> None:
    _ = gradient.minibatches  # there was an update
    sensitivity, sb3 = gradient.sensitivity, _sb3s(module, gradient, "sb3")
    largest = np.max([*sensitivity.values(), np.zeros(2)], axis=0)
    vf_coef, zero_in_sb3 = module.settings["vf_coef"], zeros(sb3)
    cut: dict[str, Any] = {}
    unused: list[str] = []
    for name in without_gradient(module, gradient.optional("raw") or {}):
        # By the same weights and rows SB3's gradient is zero too where a unit is off or an input is dead.
        if module.has_sb3_network and (name in zero_in_sb3 or _is_small_in_sb3(module, gradient, name)):
            continue
        # A softmax does not see what is added to all that it takes: such a bias moves outputs by float noise alone.
        policy, value = (
            float(each) if each > FLOAT_NOISE * most else 0.0
            for each, most in zip(sensitivity[name], largest, strict=True)
        )
        if policy == 0 and value == 0:
            unused.append(name)
        elif policy > 0 or vf_coef > 0:
            cut[name] = {"log_probability_moves": policy, "value_moves": value}
    frozen = [name for name in module.facts.frozen if name in sb3 and sb3[name].any() and module.has_sb3_network]
    total = len(module.facts.parameters)
    # RLlib computes gradients of an optimiser's parameters alone.
    forgotten = [name for name in cut if name in module.facts.without_optimiser]
    cut = {name: evidence for name, evidence in cut.items() if name not in forgotten}
    module.report_parameters(
        "PAR702", forgotten, f"of {total} parameters change the outputs and belong to no optimiser"
    )
    module.report_parameters("PAR602", list(cut), f"of {total} parameters change the outputs and have no gradient", cut)
    module.report_parameters("PAR604", unused, "parameters change no output on this rollout")
    module.report_parameters("PAR605", frozen, f"parameters have requires_grad=False and are trained by {module.other}")


def _unregistered_tensors(module: ModuleCheck, gradient: Gradient) -> None:
    shapes = module.facts.unregistered_tensors
    if shapes:
        listed = ", ".join(map(str, shapes[:4]))
        message = f"{len(shapes)} tensors with a gradient reach the outputs and belong to no module: shapes {listed}"
        module.report("PAR606", None, message, {"shapes": shapes})


def _is_small_in_sb3(module: ModuleCheck, gradient: Gradient, name: str) -> bool:
    """Whether SB3's gradient is this small too: nothing against the largest, that of a value head with a large scale, say."""
    raw, ours = ((gradient.optional(kind) or {}).get(name) for kind in ("raw", "clipped"))
    theirs = _sb3s(module, gradient, "advantages").get(name)
    if raw is None or ours is None or theirs is None or not (raw.any() and ours.any()):
        return False
    return bool(np.linalg.norm(ours.astype(np.float64) - theirs) <= SMALL_BUT_RIGHT * np.linalg.norm(theirs))


def _against_sb3(module: ModuleCheck, gradient: Gradient) -> None:
    # A frozen parameter has no gradient on either side, and rightly: `_present` judges those.
    def trained(arrays: Arrays) -> Arrays:
        return {name: array for name, array in arrays.items() if name not in module.facts.frozen}

    ours = trained(gradient.clipped)
    sb3, with_ports = (trained(module.by_port_names(gradient.entry("sb3", run))) for run in ("sb3", "advantages"))
    ours |= {name: np.zeros_like(array) for name, array in sb3.items() if name not in ours and not array.any()}
    floors = noise_floors(module, gradient.noise)
    direct, explained = (per_tensor(ours, theirs, module.tolerance, floors) for theirs in (sb3, with_ports))
    for difference, theirs in ((direct, sb3), (explained, with_ports)):
        say_noise(module, floors, difference, per_tensor(ours, theirs, module.tolerance))
    if direct:
        module.rung.compare(direct)
        return
    message = f"gradients differ by up to {explained.max_rel:.3g} of their norm ({explained.where})"
    if module.require(explained, "PAR603", message, f"parameter {explained.where}"):
        module.rung.explained.append(f"the gradient is {module.other}'s with the port's advantages")
        module.rung.add_share("advantages", direct.max_rel)


def _clipped(module: ModuleCheck, gradient: Gradient) -> None:
    """A gradient far above the bound against clipping by the global norm, which real ones need not reach."""
    if not (gradient.optional("stretched") and gradient.optional("stretched_clipped")):
        return
    long, clipped = gradient.stretched, gradient.stretched_clipped
    bound, norm = module.settings["max_grad_norm"], _global_norm(long)
    factor = min(1.0, bound / norm)
    expected = {name: array.astype(np.float64) * factor for name, array in long.items() if name in clipped}
    difference, after = per_tensor(clipped, expected, module.tolerance), _global_norm(clipped)
    message = f"a gradient of norm {norm:.4g} is clipped to {after:.4g}, and max_grad_norm is {bound:g}"
    evidence = {"norm": norm, "clipped": after, "max_grad_norm": bound}
    module.require(difference, "PAR603", message, "clipping", evidence)


def _global_norm(arrays: Arrays) -> float:
    return float(np.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in arrays.values())))
