"""Rungs 3 and 8 once more, through ``Algorithm``: every process samples, computes and ends up with what one process has.

Collected by ``check --full`` and ``parity run``; without those numbers nothing is compared here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from parity.ladder.difference import Difference, per_tensor
from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport
from parity.ladder.rungs.shares import after_steps
from parity.results.capture import AlgorithmRun, ThroughAlgorithm, captured
from parity.results.summary import Severity

# RLlib rounds an iteration up to a step of every sub-environment; more than this beyond it is another rollout length.
LONGER_ITERATION = 1.1
# Where rung 2 finds nothing.
ONLY_SAMPLING = (
    "Look at what is otherwise while an env runner samples: inference_only, a timestep t in _forward_exploration, the process "
    "that it runs in, module-to-env connectors"
)


def sampling(report: RungReport, inputs: RungInput, run: AlgorithmRun | None) -> None:
    """Rung 3: each process computes the logits of one process; the actions' log-probs are those of the right weights."""
    if run is None:
        return
    for name, other in list(run.environments.items())[:1]:
        message = (
            f"with the same seed and actions, the environment that {name} makes does not return what one made in the main "
            f"process returns ({other.where}); so it is with {len(run.environments)} of {run.env_runners or 'all'} env runners"
        )
        evidence = {"where": other.where, "env_runners": sorted(run.environments)}
        severity: Severity = "error" if other.follows_seed else "warning"
        report.report("PAR063", name, message, evidence, severity=severity)
    if violations := run.masks.get("violations"):
        message = f"through Algorithm {violations} of {run.masks['decisions']} actions were illegal"
        report.report("PAR302", "env runners", message, dict(run.masks), fix=ONLY_SAMPLING, explains=("PAR807",))
    _check(report, inputs, run, _logits, _log_probabilities)
    if run.asked and run.sampled and run.sampled > LONGER_ITERATION * run.asked + (run.sub_environments or 0):
        message = f"an iteration takes {run.sampled:,} environment steps, the configuration asks for {run.asked:,}"
        report.report("PAR315", "env runners", message, {"sampled": run.sampled, "asked": run.asked})


def updating(report: RungReport, inputs: RungInput, run: AlgorithmRun | None) -> None:
    """Rung 8: learners and env runners hold the same weights after the iteration, and a learner alone gets the same ones."""
    if run is not None:
        _check(report, inputs, run, _same_weights, _same_update, _weights_unchanged, _rates_unchanged)


def _check(
    report: RungReport,
    inputs: RungInput,
    run: AlgorithmRun,
    *checks: Callable[[ModuleCheck, ThroughAlgorithm], None],
) -> None:
    for module in inputs.module_facts:
        for check in checks:
            check(ModuleCheck(inputs, module, report), captured(run.modules, ThroughAlgorithm, module))


def seen(run: AlgorithmRun | None) -> dict[str, Any] | None:
    """What ran and how far it is apart at most, for people and scripts; None where nothing ran."""
    if run is None or run.env_runners is None:
        return None
    modules = run.modules.values()
    spreads = [replica.spread for each in modules for replica in each.replicas.values()]
    log_probs = [
        _apart(each.sampled_log_prob, each.trained_log_prob)
        for each in modules
        if each.has("sampled_log_prob", "trained_log_prob")
    ]
    updates = [
        _apart(array, each.alone[name])
        for each in modules
        for name, array in each.through.items()
        if name in each.alone
    ]
    return {
        "env_runners": run.env_runners,
        "learners": run.learners,
        "env_steps": run.sampled,
        "weights_apart": max((float(spread.max(initial=0.0)) for spread in spreads), default=None),
        "log_probs_apart": max(log_probs, default=None),
        "update_apart": max(updates, default=None),
    }


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max(initial=0.0))


def _logits(module: ModuleCheck, through: ThroughAlgorithm) -> None:
    for replica, logits in through.logits.items():
        phase = "train" if replica.startswith("learner") else "inference"
        here = through.entry("phase_logits", phase)[: len(logits)]
        difference = module.difference(logits, here, f"logits in {replica}")
        message = (
            f"{replica} computes other logits than the same module here, on the same weights and observations: they "
            f"differ by up to {difference.max_abs:.3g}"
        )
        if not module.require(difference, "PAR314", message, replica):
            return


def _log_probabilities(module: ModuleCheck, through: ThroughAlgorithm) -> None:
    if not through.has("sampled_log_prob", "trained_log_prob"):
        return
    sampled, trained = through.sampled_log_prob, through.trained_log_prob
    difference = module.difference(sampled, trained, "log-probability", rows=lambda row: f"row {row}")
    if any(finding.code == "PAR303" and finding.module == module.module for finding in module.rung.findings):
        module.rung.compare(difference)
        return
    message = (
        f"through Algorithm, log-probabilities at sampling and at training differ by up to {difference.max_abs:.3g}, "
        "and not in one process: env runners act on other weights or observations than the learner has"
    )
    module.require(difference, "PAR303", message, "env runners")


def _same_weights(module: ModuleCheck, through: ThroughAlgorithm) -> None:
    for name, replica in through.replicas.items():
        spread, missing = replica.spread, replica.missing
        worst = int(np.argmax(np.where(np.isnan(spread), math.inf, spread))) if len(spread) else -1
        largest = float(spread[worst]) if len(spread) else 0.0
        entry = missing[0] if missing else (replica.names[worst] if replica.names else None)
        needed = math.inf if missing or math.isnan(largest) else largest / module.tolerance.absolute
        if module.rung.compare(Difference(largest, 0.0, needed, entry if needed else None)):
            continue
        code = "PAR804" if name.startswith("learner") else "PAR805"
        words = (
            f"has no {', '.join(missing[:3])}"
            if missing
            else f"holds weights up to {largest:.3g} from the first learner's"
        )
        evidence = {"max_abs": largest, "entry": entry, "missing": missing}
        module.report(code, name, f"{name} {words} after an iteration", evidence)
        return


def _same_update(module: ModuleCheck, through: ThroughAlgorithm) -> None:
    if not through.alone:
        return
    has_settings = module.facts.settings is not None
    difference = per_tensor(through.through, through.alone, after_steps(module) if has_settings else module.tolerance)
    message = (
        f"after the same update from the same weights and episodes, parameters of Algorithm's learner and of a learner "
        f"alone differ by up to {difference.max_rel:.3g} of their norm ({difference.where})"
    )
    module.require(difference, "PAR806", message, f"parameter {difference.where}")


def _weights_unchanged(module: ModuleCheck, through: ThroughAlgorithm) -> None:
    """Between the iteration's last update and its end; a module that is not trained may be set to anything, as in self-play."""
    updated, ended = through.updated, through.ended
    changed = [name for name in ended if not np.array_equal(ended[name], updated[name], equal_nan=True)]
    if changed and module.facts.trained:
        message = f"after its last update the iteration changes weights: {', '.join(changed[:4])}"
        module.report("PAR808", f"parameter {changed[0]}", message, {"changed": changed})


def _rates_unchanged(module: ModuleCheck, through: ThroughAlgorithm) -> None:
    rates = {at: through.optional(f"{at}_rates") for at in ("updated", "ended")}
    if module.facts.trained and rates["updated"] != rates["ended"]:
        message = (
            f"after its last update the iteration changes the learning rate from {rates['updated']} to {rates['ended']}"
        )
        module.report("PAR808", None, message, rates)
