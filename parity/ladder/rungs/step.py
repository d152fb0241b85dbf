"""Rung 7: parameters after one step of the optimiser."""

from __future__ import annotations

import numpy as np

from parity.ladder.difference import per_tensor
from parity.ladder.rung_input import RungInput, RungReport, figures
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.gradient import without_gradient
from parity.ladder.rungs.shares import after_steps, but_noise, share


def step(evidence: RungInput) -> RungReport:
    """Against SB3's step on the same rows; trained parameters move during the update, frozen ones do not."""
    sheet = RungReport(7)
    attempt(sheet, _modules, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        attempt(sheet, _moves, evidence, module)
        attempt(sheet, _against_sb3, evidence, module)
    for module in evidence.frozen():
        attempt(sheet, _stands, evidence, module)


def _moves(sheet: RungReport, evidence: RungInput, module: str) -> None:
    before, after = evidence.need_below(f"{module}/weights"), evidence.need_below(f"{module}/update/last")
    frozen, still = evidence.about(module)["frozen"], without_gradient(evidence, module)
    sb3 = evidence.as_ports(module, evidence.numbers.below(f"{module}/sb3/full_sb3/last"))
    # A learning rate near 0, as at the start of a warm-up, is a step that float32 does not take, on SB3's side neither.
    tiny = [name for name, array in sb3.items() if name in before and np.array_equal(array, before[name])]
    left_out = {*frozen, *still, *tiny}
    stuck = [name for name in after if name not in left_out and np.array_equal(before[name], after[name])]
    moved = [name for name in frozen if not np.array_equal(before[name], after[name])]
    if stuck:
        message = f"{len(stuck)} parameters have a gradient and are unchanged after the update: {', '.join(stuck[:4])}"
        where = f"module {module}, parameter {stuck[0]}"
        sheet.report("PAR702", where, message, {"parameters": stuck}, module=module)
    if moved:
        message = f"{len(moved)} parameters with requires_grad=False moved: {', '.join(moved[:4])}"
        where = f"module {module}, parameter {moved[0]}"
        sheet.report("PAR703", where, message, {"parameters": moved}, module=module)


def _stands(sheet: RungReport, evidence: RungInput, module: str) -> None:
    before, after = evidence.numbers.below(f"{module}/weights"), evidence.numbers.below(f"{module}/update/last")
    moved = [name for name in after if not np.array_equal(before[name], after[name])]
    if moved:
        message = f"module {module} is not trained, and {len(moved)} of its parameters moved: {', '.join(moved[:4])}"
        where = f"module {module}, parameter {moved[0]}"
        sheet.report("PAR703", where, message, {"parameters": moved}, module=module)


def _against_sb3(sheet: RungReport, evidence: RungInput, module: str) -> None:
    ours = evidence.counted(module, evidence.need_below(f"{module}/update/first"))
    before = evidence.need_below(f"{module}/weights")
    runs = {
        run: evidence.as_ports(module, evidence.need_below(f"{module}/sb3/{run}/first"))
        for run in ("first_sb3", "first_advantages", "first_all")
    }
    gradient, rate = evidence.numbers.below(f"{module}/update/gradient"), evidence.settings(module)["learning_rate"]
    direct, explained = (
        per_tensor(
            but_noise(
                ours,
                runs[run],
                gradient,
                evidence.as_ports(module, evidence.numbers.below(f"{module}/sb3/{run}/gradient")),
                furthest=2 * rate,
            ),
            runs[run],
            after_steps(evidence, module),
        )
        for run in ("first_sb3", "first_all")
    )
    if direct:
        sheet.compare(direct)
    elif sheet.compare(explained):
        shares = {"advantages": share(runs["first_advantages"], runs["first_sb3"], before)}
        shares["adam_eps"] = share(runs["first_all"], runs["first_advantages"], before)
        for name, value in shares.items():
            sheet.shares[name] = max(sheet.shares.get(name, 0.0), value)
        sheet.explained.append(
            f"{evidence.label(module)}of the step, the port's advantages make {shares['advantages']:.1%} and Adam's epsilon "
            f"{shares['adam_eps']:.1%}"
        )
    else:
        message = f"parameters differ by up to {explained.max_rel:.3g} of their norm ({explained.where})"
        where = f"module {module}, parameter {explained.where}"
        sheet.report("PAR701", where, message, figures(explained), module=module)
