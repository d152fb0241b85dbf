"""Rung 8: parameters after a dozen minibatches, and the share of each difference that RLlib has by design."""

from __future__ import annotations

import math

import numpy as np

from parity.ladder.difference import elementwise
from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules, figures, scaled
from parity.ladder.rungs import algorithm
from parity.ladder.rungs.shares import noise_floors, parameters_apart, share
from parity.results.capture import AlgorithmRun, Arrays, Update

# Run of SB3's side with one difference switched on -> its finding, and the difference in words.
TOGGLES = {
    "advantages": ("PAR810", "advantages standardised over the batch"),
    "adam_eps": ("PAR811", "Adam's epsilon"),
    "minibatches": ("PAR812", "composition and order of minibatches"),
}
RUNS = ("sb3", *TOGGLES, "all")
_OLD_STACK = "The old API stack has no option for it; on the new one the framework rllib-exact removes it."


def update(inputs: RungInput, capture: dict[str, Update], through_algorithm: AlgorithmRun | None) -> RungReport:
    """Against SB3's update; else against SB3's with RLlib's known differences, each of them also alone."""
    checks = (_every_row, _against_sb3, _synchronised, _kept, _options)
    report = check_modules(8, inputs, capture, Update, *checks)
    inputs.attempt(report, algorithm.updating, report, inputs, through_algorithm)
    return report


def _against_sb3(module: ModuleCheck, update: Update) -> None:
    ours = module.without_dead(update.last, update.optional("sensitivity"))
    bad = [name for name, array in ours.items() if not np.isfinite(array).all()]
    module.report_parameters("PAR802", bad, "parameters are not finite after the update")
    known = [run for run in (*RUNS, "all but advantages") if run in RUNS or run in update.sb3]
    runs = {run: module.by_port_names(update.entry("sb3", run)) for run in known}
    minibatches, peaks = len(update.rows), update.optional("sb3_peak") or {}
    distances = {
        run: parameters_apart(
            module,
            ours,
            runs[run],
            update.optional("peak") or {},
            module.by_port_names(peaks.get(run, {})),
            minibatches,
            update.noise,
        )
        for run in known
        if run not in TOGGLES
    }
    direct = distances.pop("sb3")
    nearest = min(distances, key=lambda run: distances[run].tolerance_needed)
    explained = distances[nearest]
    if direct:
        module.rung.compare(direct)
        return
    left_over = share(ours, runs[nearest], update.before)
    if explained and _says_nothing(module, update, runs[nearest]):
        module.rung.skipped.append(
            f"{module.label}{module.other}'s own update changes by as much as it moves the weights where float noise is "
            "added to the first ones: nothing can be told from it"
        )
        return
    if module.rung.compare(explained):
        apart_from = {"advantages"} if nearest != "all" else set()
        _explained(module, runs, update.before, minibatches, left_over, apart_from)
        return
    message = (
        f"after {minibatches} minibatches parameters differ by {explained.max_rel:.3g} of their norm ({explained.where}), "
        f"{left_over:.1%} of the update, more than the known differences of the framework explain"
    )
    bound, fix = module.settings["clip_range_vf"], None
    if bound is not None and module.inputs.configuration.port.get("clip_range_vf") is None:
        message += f"; {module.other}'s side clips values with clip_range_vf = {bound:g}, and the port's loss does not"
        fix = f"Leave clip_range_vf out on {module.other}'s side, or train with ExactPPOLearner, which has it as an option."
    evidence = {"unexplained_share_of_update": left_over, **figures(explained)}
    module.report("PAR801", f"parameter {explained.where}", message, evidence, fix=fix)


def _says_nothing(module: ModuleCheck, update: Update, sb3: Arrays) -> bool:
    """Whether in every tensor the update's own noise is as large as the update."""
    floors = noise_floors(module, update.noise)
    moved = {
        name: float(np.linalg.norm(array.astype(np.float64) - update.before[name]))
        for name, array in sb3.items()
        if name in update.before
    }
    return bool(floors) and all(floors.get(name, 0.0) >= distance for name, distance in moved.items() if distance > 0)


def _explained(
    module: ModuleCheck, runs: dict[str, Arrays], before: Arrays, minibatches: int, left_over: float, absent: set[str]
) -> None:
    """What each known difference alone makes of the update; ``absent``: those that this port has not."""
    parts = []
    for run, (code, words) in TOGGLES.items():
        if run in absent:
            continue
        of_update = share(runs[run], runs["sb3"], before)
        module.rung.add_share(run, of_update)
        if of_update > 0:
            parts.append(f"{words} {of_update:.1%}")
            message = f"alone it changes an update of {minibatches} minibatches by {of_update:.1%}"
            evidence = {"share_of_update": of_update, "minibatches": minibatches}
            module.report(code, None, message, evidence, fix=_OLD_STACK if module.inputs.is_old_stack else None)
    module.rung.explained.append(
        f"{module.label}of the update, each alone: {', '.join(parts)}; left over: {left_over:.1e}"
    )


def _synchronised(module: ModuleCheck, update: Update) -> None:
    """The learner's new weights, on their way through get_state and set_state."""
    logits = update.optional("synchronised") or {}
    if len(logits) < 2:
        return
    learner, runner = logits["learner"], logits["env runner"]
    mask = None if module.mask is None else module.mask[: len(learner)]
    if mask is not None and mask.shape == learner.shape == runner.shape:
        learner, runner = (np.where(mask, each, 0.0) for each in (learner, runner))
    difference = elementwise(runner, learner, scaled(module.tolerance, learner), "logits", module.place)
    message = f"after it got the learner's weights the env runner's logits differ by up to {difference.max_abs:.3g}"
    module.require(difference, "PAR805", message, difference.where)


def _kept(module: ModuleCheck, update: Update) -> None:
    """The next update begins with the weights and the optimiser's state that the last one left."""
    before, after = update.optional("kept_before") or {}, update.optional("kept_after") or {}
    if not before or not after:
        return
    changed = [
        name
        for name, array in before.items()
        if name not in after or not np.array_equal(array, after[name], equal_nan=True)
    ]
    if changed:
        kinds = {"weights" if name in module.facts.parameters else "optimiser state" for name in changed}
        message = (
            f"the next update begins with other {' and '.join(sorted(kinds, reverse=True))}: {', '.join(changed[:4])}"
        )
        module.report("PAR808", changed[0], message, {"changed": changed})


def _options(module: ModuleCheck, update: Update) -> None:
    """Learning rate, betas and the like, of each group of parameters."""
    first, second = update.optional("options") or [], update.optional("next_options") or []
    schedule = module.inputs.configuration.schedules.get("port", {}).get("learning_rate", [])
    scheduled = {"lr"} if len(set(schedule)) > 1 else set()
    for i, (before, after) in enumerate(zip(first, second, strict=False)):
        changed = [key for key in before if key not in scheduled and before[key] != after.get(key)]
        if changed:
            words = ", ".join(f"{key} from {before[key]:g} to {after.get(key, math.nan):g}" for key in changed)
            message = f"without a schedule, the optimiser's options change from one update to the next: {words}"
            module.report("PAR808", f"parameter group {i}", message, {"changed": changed})
            return


def _every_row(module: ModuleCheck, update: Update) -> None:
    """Each decision is learned from once per epoch; one visit less is a matter of how minibatches are cut."""
    rows, valid = update.rows, module.rows.valid
    if module.inputs.configuration.task.get("target_kl") is not None:
        return  # an update may end early
    epochs = update.epochs
    visits = np.bincount(rows[rows >= 0], minlength=len(valid))[valid]
    seldom = int((visits < max(1, epochs - 1)).sum())
    if seldom:
        never = int((visits == 0).sum())
        message = (
            f"{seldom} of {len(visits)} decisions are learned from less often than in {epochs} epochs, {never} never"
        )
        evidence = {"decisions": len(visits), "seldom": seldom, "never": never, "epochs": epochs}
        module.report("PAR803", None, message, evidence)
