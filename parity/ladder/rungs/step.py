"""Rung 7: parameters after one step of the optimiser."""

from __future__ import annotations

import numpy as np

from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules
from parity.ladder.rungs.gradient import without_gradient
from parity.ladder.rungs.shares import parameters_apart, share
from parity.results.capture import Step, captured


def step(inputs: RungInput, capture: dict[str, Step]) -> RungReport:
    """Against SB3's step on the same rows; trained parameters move during the update, frozen ones do not."""
    report = check_modules(7, inputs, capture, Step, _moves, _against_sb3)
    for module, facts in inputs.context.modules.items():
        if not facts.trained:
            _not_trained(ModuleCheck(inputs, module, report), captured(capture, Step, module))
    return report


def _moves(module: ModuleCheck, step: Step) -> None:
    before, after, frozen = step.before, step.last, module.facts.frozen
    unmoved = [name for name in after if np.array_equal(before[name], after[name])]
    # A learning rate near 0, as at the start of a warm-up, is a step that float32 does not take, on SB3's side neither.
    sb3 = module.by_port_names(step.optional("sb3_last") or {})
    tiny = [name for name, array in sb3.items() if name in before and np.array_equal(array, before[name])]
    left_out = {*frozen, *without_gradient(module, step.optional("raw") or {}), *tiny}
    stuck = [name for name in unmoved if name not in left_out]
    module.report_parameters("PAR702", stuck, "parameters have a gradient and are unchanged after the update")
    moved = [name for name in frozen if name not in unmoved]
    module.report_parameters("PAR703", moved, "parameters with requires_grad=False moved")


def _not_trained(module: ModuleCheck, step: Step) -> None:
    after = step.optional("last") or {}
    moved = [name for name in after if not np.array_equal(step.before[name], after[name])]
    module.report_parameters("PAR703", moved, f"parameters moved of module {module.module}, which is not trained")


def _against_sb3(module: ModuleCheck, step: Step) -> None:
    ours = module.without_dead(step.after, step.optional("sensitivity"))
    sb3, advantages, both = (module.by_port_names(step.entry("sb3", run)) for run in ("sb3", "advantages", "all"))
    gradients = step.optional("sb3_gradient") or {}
    direct, explained = (
        parameters_apart(
            module,
            ours,
            theirs,
            step.optional("gradient") or {},
            module.by_port_names(gradients.get(run, {})),
            noise=step.noise,
        )
        for run, theirs in (("sb3", sb3), ("all", both))
    )
    if direct:
        module.rung.compare(direct)
        return
    message = f"parameters differ by up to {explained.max_rel:.3g} of their norm ({explained.where})"
    if module.require(explained, "PAR701", message, f"parameter {explained.where}"):
        of_advantages, of_epsilon = share(advantages, sb3, step.before), share(both, advantages, step.before)
        module.rung.add_share("advantages", of_advantages)
        module.rung.add_share("adam_eps", of_epsilon)
        module.rung.explained.append(
            f"{module.label}of the step, the port's advantages make {of_advantages:.1%} and Adam's epsilon {of_epsilon:.1%}"
        )
