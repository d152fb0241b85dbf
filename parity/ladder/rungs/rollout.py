"""Rung 3: the learner's batch against the environment's own record of the rollout."""

from __future__ import annotations

import dataclasses

import numpy as np

from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules, figures
from parity.ladder.rungs import algorithm
from parity.ladder.rungs.legal import is_legal
from parity.results.capture import AlgorithmRun, Missing, Rollout
from parity.results.capture.base import ROLLOUT


def rollout(inputs: RungInput, capture: dict[str, Rollout], through_algorithm: AlgorithmRun | None) -> RungReport:
    """Masks, actions, rewards, observations and ends as the environment had them; log-prob at sampling = at training."""
    report = check_modules(3, inputs, capture, Rollout, _module)
    _refused(report, inputs)
    inputs.attempt(report, _lost, report, inputs)
    inputs.attempt(report, algorithm.sampling, report, inputs, through_algorithm)
    return report


def _refused(report: RungReport, inputs: RungInput) -> None:
    """Illegal actions after which the environment raised: what it says then is no fault of its own."""
    for agent, times in inputs.context.refused.items():
        message = f"{times} actions were illegal, and the environment stopped the rollout"
        evidence = {"violations": times}
        report.report("PAR302", f"agent {agent}", message, evidence, fix=algorithm.ONLY_SAMPLING, explains=("PAR312",))


def _module(module: ModuleCheck, rollout: Rollout) -> None:
    unplaced = module.inputs.context.unplaced.get(module.module)
    if unplaced is not None:
        message = f"the batch has {unplaced['batch']} rows, the rollout {unplaced['decisions']} decisions"
        module.report("PAR310", None, message, unplaced)
        return
    for check in (_masks, _legal, _log_probabilities, _ends, _columns, _observations, _bootstrap_rows):
        module.inputs.attempt(module.rung, check, module, rollout)


def _masks(module: ModuleCheck, rollout: Rollout) -> None:
    shown, used = module.mask, (rollout.optional("observations") or {}).get(module.facts.mask_key)
    if shown is None or used is None:
        return
    used = used[module.rows.valid].reshape(len(shown), -1)
    difference = module.difference(used.astype(np.float64), shown.astype(np.float64), "mask")
    if not module.rung.compare(difference):
        rows = int((used.astype(bool) != shown).any(axis=1).sum()) if used.shape == shown.shape else len(shown)
        message = f"{rows} of {len(shown)} masks in the batch are not the environment's ({difference.where})"
        module.report("PAR301", difference.where, message, {"rows": rows, "decisions": len(shown)})


def _legal(module: ModuleCheck, rollout: Rollout) -> None:
    mask = module.mask
    if mask is None:
        return
    wrong = np.flatnonzero(~is_legal(module.rows.action, mask, module.choices) & mask.any(axis=1))
    if len(wrong):
        message = f"{len(wrong)} of {len(mask)} actions that reached the environment were illegal"
        evidence = {"violations": len(wrong), "decisions": len(mask)}
        module.report("PAR302", module.place(int(wrong[0])), message, evidence)


def _log_probabilities(module: ModuleCheck, rollout: Rollout) -> None:
    sampled = rollout.action_logp[module.rows.valid]
    logits = _legal_logits(module, rollout)
    difference = module.difference(sampled, rollout.entry("log_prob", "train"), "log-probability", terms=logits)
    if module.rung.compare(difference):
        return
    as_sampled = bool(module.difference(sampled, rollout.entry("log_prob", "exploration"), "", terms=logits))
    if as_sampled:
        cause = "the forward pass for training is another than the one for exploration"
    elif _same_logits(module, rollout):
        cause = (
            "the logits were the same when it chose the actions, so the action or its log-probability was changed "
            "afterwards, or the action was not drawn from them"
        )
    else:
        cause = "the module saw other observations, or had other weights, when it chose the actions"
    message = f"log-probabilities differ by up to {difference.max_abs:.3g} ({difference.where}): {cause}"
    evidence = {**figures(difference), "exploration_agrees_with_sampling": as_sampled}
    module.report("PAR303", difference.where, message, evidence)


def _legal_logits(module: ModuleCheck, rollout: Rollout) -> np.ndarray | None:
    """Those in training, which log-probabilities are differences of; None where it is not known which are legal."""
    logits, mask = (rollout.optional("logits") or {}).get("train"), module.mask
    return None if logits is None or mask is None or mask.shape != logits.shape else logits[mask]


def _same_logits(module: ModuleCheck, rollout: Rollout) -> bool:
    """Whether exploration now gives the logits that actions were sampled from; False where either is not known."""
    sampled, again = rollout.optional("action_dist_inputs"), (rollout.optional("logits") or {}).get("exploration")
    if sampled is None or again is None:
        return False
    sampled = sampled[module.rows.valid]
    if sampled.shape != again.shape:
        return False
    mask = module.mask
    kept = np.ones(sampled.shape, bool) if mask is None or mask.shape != sampled.shape else mask
    return bool(module.difference(np.where(kept, sampled, 0), np.where(kept, again, 0), ""))


def _ends(module: ModuleCheck, rollout: Rollout) -> None:
    valid = module.rows.valid
    env_terminated, env_truncated = module.rows.terminated.astype(bool), module.rows.truncated.astype(bool)
    terminated = rollout.terminateds[valid].astype(bool)
    module.rung.compare(module.difference(terminated * 1.0, env_terminated * 1.0, "terminated"))
    as_ends = np.flatnonzero(terminated & env_truncated & ~env_terminated)
    counts = {
        "terminated_in_batch": int(terminated.sum()),
        "terminated_in_environment": int(env_terminated.sum()),
        "truncated_in_environment": int(env_truncated.sum()),
    }
    if len(as_ends):
        message = (
            f"{len(as_ends)} of {counts['truncated_in_environment']} truncations of the environment are terminations in "
            "the batch, so nothing is bootstrapped there"
        )
        module.report("PAR304", module.place(int(as_ends[0])), message, counts)
    other = np.flatnonzero((terminated != env_terminated) & ~(terminated & env_truncated))
    if len(other):
        message = f"{len(other)} terminations in the batch and in the environment differ"
        module.report("PAR305", module.place(int(other[0])), message, counts)
    if not rollout.has("truncateds") or len(as_ends):
        return
    # The end of a chunk counts as truncated in the batch, also where the rollout was only cut there.
    last = np.append(np.diff(module.rows.chunk) != 0, True)
    # A termination in the same row decides: an agent may end in the step that cuts the episode.
    truncated = rollout.truncateds[valid].astype(bool) & ~terminated
    wrong = np.flatnonzero((truncated != env_truncated) & ~(truncated & last & ~env_terminated))
    if len(wrong):
        module.rung.compare(module.difference(truncated * 1.0, env_truncated * 1.0, "truncated"))
        message = f"{len(wrong)} truncations in the batch and in the environment differ"
        module.report("PAR305", module.place(int(wrong[0])), message, counts)


def _columns(module: ModuleCheck, rollout: Rollout) -> None:
    for code, column, batch, env in (
        ("PAR306", "rewards", rollout.rewards, module.rows.reward),
        ("PAR307", "actions", rollout.actions, module.rows.action),
    ):
        difference = module.difference(batch[module.rows.valid].reshape(env.shape), env, column)
        message = f"{column} differ by up to {difference.max_abs:.3g} ({difference.where})"
        module.require(difference, code, message, difference.where)


def _observations(module: ModuleCheck, rollout: Rollout) -> None:
    unlike = []
    for name, shown in module.rows.observations.items():
        if name == module.facts.mask_key:
            continue
        batch = rollout.observations.get(name)
        if batch is None or batch[module.rows.valid].size != shown.size:
            unlike.append(f"obs/{name}")
            continue
        batch = batch[module.rows.valid].reshape(shown.shape)
        difference = module.difference(batch, shown, f"obs/{name}")
        message = f"obs/{name} differs by up to {difference.max_abs:.3g} ({difference.where})"
        if not module.require(difference, "PAR308", message, difference.where):
            return
    if unlike:
        message = f"connectors give the module another structure ({', '.join(unlike)} not found): not compared"
        module.report("PAR308", None, message, {"entries": unlike}, severity="warning")


def _bootstrap_rows(module: ModuleCheck, rollout: Rollout) -> None:
    valid, mask = module.rows.valid, rollout.optional("loss_mask")
    if valid.all():
        return
    in_loss = np.ones(len(valid), bool) if mask is None else mask.astype(bool)
    if not np.array_equal(in_loss, valid):
        learned, left_out = int((in_loss & ~valid).sum()), int((~in_loss & valid).sum())
        message = f"{learned} bootstrap rows take part in the loss, {left_out} decisions do not"
        evidence = {"bootstrap_rows_learned": learned, "decisions_left_out": left_out}
        module.report("PAR311", None, message, evidence)


def _lost(report: RungReport, inputs: RungInput) -> None:
    context = inputs.context
    if context.decisions is None or context.sub_environments is None:
        raise Missing("decisions", ROLLOUT)
    for agent in context.agents:
        counts = context.decisions[agent]
        lost = counts.played - counts.learned_from
        # An action whose reward is still open when the rollout is cut belongs to the next one.
        if lost > context.sub_environments:
            message = f"agent {agent} made {counts.played} decisions, {lost} of them are not in the batch"
            report.report("PAR309", f"agent {agent}", message, dataclasses.asdict(counts))
