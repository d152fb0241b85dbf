"""Rung 8: parameters after a dozen minibatches, and the share of each difference that RLlib has by design."""

from __future__ import annotations

import math

import numpy as np

from parity.ladder.difference import elementwise, per_tensor
from parity.ladder.rung_input import RungInput, RungReport, figures, scaled
from parity.ladder.rungs import algorithm
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.shares import after_steps, but_noise, share

# Run of the counterpart with one difference switched on -> its finding and name.
TOGGLES = {
    "full_advantages": ("PAR810", "advantages", "advantages standardised over the batch"),
    "full_adam_eps": ("PAR811", "adam_eps", "Adam's epsilon"),
    "full_minibatches": ("PAR812", "minibatches", "composition and order of minibatches"),
}


def update(evidence: RungInput) -> RungReport:
    """Against SB3's update; else against SB3's with RLlib's known differences, each of them also alone."""
    sheet = RungReport(8)
    attempt(sheet, _modules, evidence)
    attempt(sheet, algorithm.updating, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        attempt(sheet, _module, evidence, module)
        _synchronised(sheet, evidence, module)
        _between(sheet, evidence, module)


def _module(sheet: RungReport, evidence: RungInput, module: str) -> None:
    _every_row(sheet, evidence, module)
    ours, before = evidence.need_below(f"{module}/update/last"), evidence.need_below(f"{module}/weights")
    ours = evidence.counted(module, ours)
    bad = [name for name, array in ours.items() if not np.isfinite(array).all()]
    if bad:
        message = f"{len(bad)} parameters are not finite after the update: {', '.join(bad[:4])}"
        where = f"module {module}, parameter {bad[0]}"
        sheet.report("PAR802", where, message, {"parameters": bad}, module=module)
    runs = {
        run: evidence.as_ports(module, evidence.need_below(f"{module}/sb3/{run}/last"))
        for run in ("full_sb3", *TOGGLES, "full_all")
    }
    minibatches = len(evidence.need(f"{module}/update/rows"))
    peak, rate = evidence.numbers.below(f"{module}/update/peak"), evidence.settings(module)["learning_rate"]
    direct, explained = (
        per_tensor(
            but_noise(
                ours,
                runs[run],
                peak,
                evidence.as_ports(module, evidence.numbers.below(f"{module}/sb3/{run}/peak")),
                furthest=2 * rate * minibatches,
            ),
            runs[run],
            after_steps(evidence, module, minibatches),
        )
        for run in ("full_sb3", "full_all")
    )
    if direct:
        sheet.compare(direct)
        return
    shares = {run: share(runs[run], runs["full_sb3"], before) for run in TOGGLES}
    left_over = share(ours, runs["full_all"], before)
    if sheet.compare(explained):
        parts = []
        for run, (code, name, words) in TOGGLES.items():
            sheet.shares[name] = max(sheet.shares.get(name, 0.0), shares[run])
            if shares[run] > 0:
                parts.append(f"{words} {shares[run]:.1%}")
                message = f"alone it changes an update of {minibatches} minibatches by {shares[run]:.1%}"
                found = {"share_of_update": shares[run], "minibatches": minibatches}
                sheet.report(code, f"module {module}", message, found, module=module)
        sheet.explained.append(
            f"{evidence.label(module)}of the update, each alone: {', '.join(parts)}; left over: {left_over:.1e}"
        )
        return
    message = (
        f"after {minibatches} minibatches parameters differ by {explained.max_rel:.3g} of their norm ({explained.where}), "
        f"{left_over:.1%} of the update, beyond what the framework does otherwise by design"
    )
    found = {"unexplained_share_of_update": left_over, **figures(explained)}
    where = f"module {module}, parameter {explained.where}"
    bound, fix = evidence.settings(module)["clip_range_vf"], None
    if bound is not None and evidence.facts["config"]["port"].get("clip_range_vf") is None:
        message += f"; SB3's side clips values with clip_range_vf = {bound:g}, and the port's loss does not"
        fix = "Leave clip_range_vf out on SB3's side, or train with ExactPPOLearner, which has it as an option."
    sheet.report("PAR801", where, message, found, module=module, fix=fix)


def _synchronised(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """The learner's new weights, on their way through get_state and set_state."""
    logits = evidence.numbers.below(f"{module}/synchronised")
    if len(logits) < 2:
        return
    learner, runner = logits["learner"], logits["env runner"]
    mask = evidence.numbers.get(f"{module}/env/mask")
    if mask is not None and mask[: len(learner)].shape == learner.shape == runner.shape:
        learner, runner = (np.where(mask[: len(learner)], each, 0.0) for each in (learner, runner))
    difference = elementwise(runner, learner, scaled(evidence.tolerance, learner), "logits", evidence.rows(module))
    if not sheet.compare(difference):
        message = f"after it got the learner's weights the env runner's logits differ by up to {difference.max_abs:.3g}"
        sheet.report("PAR805", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _between(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """What an update leaves, the next one begins with."""
    before, after = (evidence.numbers.below(f"{module}/between/{side}") for side in ("before", "after"))
    changed = [
        name
        for name, array in before.items()
        if name not in after or not np.array_equal(array, after[name], equal_nan=True)
    ]
    if before and after and changed:
        parameters = evidence.about(module)["parameters"]
        kinds = {"weights" if name in parameters else "optimiser state" for name in changed}
        message = (
            f"the next update begins with other {' and '.join(sorted(kinds, reverse=True))}: {', '.join(changed[:4])}"
        )
        sheet.report("PAR808", f"module {module}, {changed[0]}", message, {"changed": changed}, module=module)
    _options(sheet, evidence, module)


def _options(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """Learning rate, betas and the like, of each group of parameters."""
    by_update = evidence.facts.get("optimizer_options", {})
    first, second = (by_update.get(f"{update} update", {}).get(module, []) for update in ("first", "second"))
    schedule = evidence.facts["config"].get("schedules", {}).get("port", {}).get("learning_rate", [])
    scheduled = {"lr"} if len(set(schedule)) > 1 else set()
    for i, (before, after) in enumerate(zip(first, second, strict=False)):
        changed = [key for key in before if key not in scheduled and before[key] != after.get(key)]
        if changed:
            words = ", ".join(f"{key} from {before[key]:g} to {after.get(key, math.nan):g}" for key in changed)
            message = f"without a schedule, the optimiser's options change from one update to the next: {words}"
            where = f"module {module}, parameter group {i}"
            sheet.report("PAR808", where, message, {"changed": changed}, module=module)
            return


def _every_row(sheet: RungReport, evidence: RungInput, module: str) -> None:
    """Each decision is learned from once per epoch; one visit less is a matter of how minibatches are dealt."""
    rows, valid = evidence.need(f"{module}/update/rows"), evidence.need(f"{module}/rows/valid")
    if evidence.facts["config"]["task"].get("target_kl") is not None:
        return  # an update may end early
    epochs = evidence.fact("update", parts=("update",))["epochs"]
    visits = np.bincount(rows[rows >= 0], minlength=len(valid))[valid]
    seldom = int((visits < max(1, epochs - 1)).sum())
    if seldom:
        never = int((visits == 0).sum())
        message = (
            f"{seldom} of {len(visits)} decisions are learned from less often than in {epochs} epochs, {never} never"
        )
        found = {"decisions": len(visits), "seldom": seldom, "never": never, "epochs": epochs}
        sheet.report("PAR803", f"module {module}", message, found, module=module)
