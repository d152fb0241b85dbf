"""Rung 3: the learner's batch against the environment's own record of the rollout."""

from __future__ import annotations

import numpy as np

from parity.ladder.rung_input import RungInput, RungReport, compare_column, figures
from parity.ladder.rungs import algorithm
from parity.ladder.rungs.attempt import attempt
from parity.ladder.rungs.legal import is_legal

MASK = "obs/action_mask"


def rollout(evidence: RungInput) -> RungReport:
    """Masks, actions, rewards, observations and ends as the environment had them; log-prob at sampling = at training."""
    sheet = RungReport(3)
    attempt(sheet, _modules, evidence)
    attempt(sheet, _lost, evidence)
    attempt(sheet, algorithm.sampling, evidence)
    return sheet


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        unknown = evidence.facts.get("rows", {}).get(module)
        if unknown is not None:
            message = f"the batch has {unknown['batch']} rows, the rollout {unknown['decisions']} decisions"
            sheet.report("PAR310", f"module {module}", message, unknown, module=module)
            continue
        for check in (_masks, _legal, _log_probabilities, _ends, _columns, _observations, _bootstrap_rows):
            attempt(sheet, check, evidence, module)


def _valid(evidence: RungInput, module: str, column: str) -> np.ndarray:
    """A column of the batch, on the rows that stand for decisions."""
    return evidence.need(f"{module}/batch/{column}")[evidence.need(f"{module}/rows/valid")]


def _masks(sheet: RungReport, evidence: RungInput, module: str) -> None:
    shown = evidence.numbers.get(f"{module}/env/mask")
    if shown is None or f"{module}/batch/{MASK}" not in evidence.numbers:
        return
    used = _valid(evidence, module, MASK).reshape(len(shown), -1)
    difference = compare_column(evidence, module, used.astype(np.float64), shown.astype(np.float64), "mask")
    if not sheet.compare(difference):
        rows = int((used.astype(bool) != shown).any(axis=1).sum()) if used.shape == shown.shape else len(shown)
        message = f"{rows} of {len(shown)} masks in the batch are not the environment's ({difference.where})"
        found = {"rows": rows, "decisions": len(shown)}
        sheet.report("PAR301", f"module {module}, {difference.where}", message, found, module=module)


def _legal(sheet: RungReport, evidence: RungInput, module: str) -> None:
    mask = evidence.numbers.get(f"{module}/env/mask")
    if mask is None:
        return
    some = mask.any(axis=1)
    wrong = np.flatnonzero(
        ~is_legal(evidence.need(f"{module}/env/action"), mask, evidence.about(module)["choices"]) & some
    )
    if len(wrong):
        message = f"{len(wrong)} of {len(mask)} actions that reached the environment were illegal"
        where = f"module {module}, {evidence.rows(module)(int(wrong[0]))}"
        sheet.report("PAR302", where, message, {"violations": len(wrong), "decisions": len(mask)}, module=module)


def _log_probabilities(sheet: RungReport, evidence: RungInput, module: str) -> None:
    sampled, trained = _valid(evidence, module, "action_logp"), evidence.need(f"{module}/phase/train/logp")
    difference = compare_column(evidence, module, sampled, trained, "log-probability")
    if sheet.compare(difference):
        return
    explored = evidence.need(f"{module}/phase/exploration/logp")
    as_sampled = bool(compare_column(evidence, module, sampled, explored, ""))
    logits = evidence.numbers.get(f"{module}/batch/action_dist_inputs")
    again = evidence.numbers.get(f"{module}/phase/exploration/logits")
    same_logits = False
    if logits is not None and again is not None:
        logits = logits[evidence.need(f"{module}/rows/valid")]
        mask = evidence.numbers.get(f"{module}/env/mask")
        if logits.shape == again.shape:
            kept = np.ones(logits.shape, bool) if mask is None or mask.shape != logits.shape else mask
            same_logits = bool(
                compare_column(evidence, module, np.where(kept, logits, 0), np.where(kept, again, 0), "")
            )
    if as_sampled:
        cause = "the forward pass for training is another than the one for exploration"
    elif same_logits:
        cause = (
            "the logits were the same when it chose the actions, so the action or its log-probability was changed "
            "afterwards, or the action was not drawn from them"
        )
    else:
        cause = "the module saw other observations, or had other weights, when it chose the actions"
    message = f"log-probabilities differ by up to {difference.max_abs:.3g} ({difference.where}): {cause}"
    found = {**figures(difference), "exploration_agrees_with_sampling": as_sampled}
    sheet.report("PAR303", f"module {module}, {difference.where}", message, found, module=module)


def _ends(sheet: RungReport, evidence: RungInput, module: str) -> None:
    env = {name: evidence.need(f"{module}/env/{name}").astype(bool) for name in ("terminated", "truncated")}
    terminated = _valid(evidence, module, "terminateds").astype(bool)
    sheet.compare(compare_column(evidence, module, terminated * 1.0, env["terminated"] * 1.0, "terminated"))
    rows = evidence.rows(module)
    as_ends = np.flatnonzero(terminated & env["truncated"] & ~env["terminated"])
    counts = {
        "terminated_in_batch": int(terminated.sum()),
        "terminated_in_environment": int(env["terminated"].sum()),
        "truncated_in_environment": int(env["truncated"].sum()),
    }
    if len(as_ends):
        message = (
            f"{len(as_ends)} of {counts['truncated_in_environment']} truncations of the environment are terminations in "
            "the batch, so nothing is bootstrapped there"
        )
        where = f"module {module}, {rows(int(as_ends[0]))}"
        sheet.report("PAR304", where, message, counts, module=module)
    other = np.flatnonzero((terminated != env["terminated"]) & ~(terminated & env["truncated"]))
    if len(other):
        message = f"{len(other)} terminations in the batch and in the environment differ"
        sheet.report("PAR305", f"module {module}, {rows(int(other[0]))}", message, counts, module=module)
    if f"{module}/batch/truncateds" not in evidence.numbers or len(as_ends):
        return
    # The end of a chunk counts as truncated in the batch, also where the rollout was only cut there.
    chunk = evidence.need(f"{module}/rows/chunk")
    last = np.append(np.diff(chunk) != 0, True)
    # A termination beside it decides: an agent may end in the step that cuts the episode.
    truncated = _valid(evidence, module, "truncateds").astype(bool) & ~terminated
    wrong = np.flatnonzero((truncated != env["truncated"]) & ~(truncated & last & ~env["terminated"]))
    if len(wrong):
        sheet.compare(compare_column(evidence, module, truncated * 1.0, env["truncated"] * 1.0, "truncated"))
        message = f"{len(wrong)} truncations in the batch and in the environment differ"
        sheet.report("PAR305", f"module {module}, {rows(int(wrong[0]))}", message, counts, module=module)


def _columns(sheet: RungReport, evidence: RungInput, module: str) -> None:
    for code, column, name in (("PAR306", "rewards", "reward"), ("PAR307", "actions", "action")):
        batch, env = _valid(evidence, module, column), evidence.need(f"{module}/env/{name}")
        difference = compare_column(evidence, module, batch.reshape(env.shape), env, column)
        if not sheet.compare(difference):
            message = f"{column} differ by up to {difference.max_abs:.3g} ({difference.where})"
            sheet.report(code, f"module {module}, {difference.where}", message, figures(difference), module=module)


def _observations(sheet: RungReport, evidence: RungInput, module: str) -> None:
    shown = {name: array for name, array in evidence.numbers.below(f"{module}/env").items() if name.startswith("obs")}
    if not shown:
        evidence.need(f"{module}/env/obs")
    other = []
    for name, array in shown.items():
        if name == MASK:
            continue
        if f"{module}/batch/{name}" not in evidence.numbers:
            other.append(name)
            continue
        batch = _valid(evidence, module, name)
        if batch.size != array.size:
            other.append(name)
            continue
        difference = compare_column(evidence, module, batch.reshape(array.shape), array, name)
        if not sheet.compare(difference):
            message = f"{name} differs by up to {difference.max_abs:.3g} ({difference.where})"
            sheet.report("PAR308", f"module {module}, {difference.where}", message, figures(difference), module=module)
            return
    if other:
        message = f"connectors give the module another structure ({', '.join(other)} not found): not compared"
        sheet.report("PAR308", f"module {module}", message, {"entries": other}, module=module, severity="warning")


def _bootstrap_rows(sheet: RungReport, evidence: RungInput, module: str) -> None:
    valid = evidence.need(f"{module}/rows/valid")
    if valid.all():
        return
    mask = evidence.numbers.get(f"{module}/batch/loss_mask")
    if mask is None or not np.array_equal(mask.astype(bool), valid):
        learned = int((~valid).sum()) if mask is None else int((mask.astype(bool) & ~valid).sum())
        left_out = 0 if mask is None else int((~mask.astype(bool) & valid).sum())
        message = f"{learned} bootstrap rows take part in the loss, {left_out} decisions do not"
        found = {"bootstrap_rows_learned": learned, "decisions_left_out": left_out}
        sheet.report("PAR311", f"module {module}", message, found, module=module)


def _lost(sheet: RungReport, evidence: RungInput) -> None:
    counts = evidence.fact("decisions", parts=("build", "sample", "batch"))
    # An action whose reward is still open when the rollout is cut belongs to the next one.
    open_actions = len(evidence.fact("reset_seeds", parts=("build", "sample")))
    for agent in evidence.facts.get("agents", []):
        played, learned = counts[agent]["played"], counts[agent]["learned_from"]
        if played - learned > open_actions:
            message = f"agent {agent} made {played} decisions, {played - learned} of them are not in the batch"
            sheet.report("PAR309", f"agent {agent}", message, counts[agent])
