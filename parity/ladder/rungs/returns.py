"""Rung 4: advantages and value targets, against SB3's buffer and against a reference of ten lines."""

from __future__ import annotations

import dataclasses

import numpy as np

from parity.ladder.difference import Difference, elementwise
from parity.ladder.rung_input import Missing, RungInput, RungReport, compare_column, figures, scaled
from parity.ladder.rungs.attempt import attempt

# Spread below which numbers count as constant: float32's noise on values of order 1.
CONSTANT = 1e-6
# GeneralAdvantageEstimation divides by at least this (general_advantage_estimation.py:148, ray 2.60.0).
RLLIB_SMALLEST_STD = 1e-4


def generalised_advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    bootstrap: np.ndarray,
    terminated: np.ndarray,
    chunk: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """GAE(lambda), Schulman et al. 2016, equation 16, in float64: the reference that no framework had a hand in.

    Args:
        rewards, values: ``[T]``, episode chunks one after the other, each in time order.
        bootstrap: ``[chunks]``, value of what followed each chunk's last row.
        terminated: bool ``[T]``.
        chunk: int ``[T]``, number of the chunk.
    """
    advantages = np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        last = t + 1 == len(rewards) or chunk[t + 1] != chunk[t]
        following = bootstrap[chunk[t]] if last else values[t + 1]
        delta = rewards[t] + gamma * (0.0 if terminated[t] else following) - values[t]
        advantages[t] = delta + (0.0 if last or terminated[t] else gamma * gae_lambda * advantages[t + 1])
    return advantages


def targets_before_59958(
    rewards: np.ndarray,
    values: np.ndarray,
    terminated: np.ndarray,
    chunk: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Value targets as RLlib computed them before pull request 59958 (``value_predictions.py``, ray 2.47.1), in float64.

    That version sets ``terminateds`` in the row appended for bootstrapping, and zeroes the values of all terminated rows:
    of that one, which loses the bootstrap of every chunk, and of an episode's last one. Arguments as
    `generalised_advantages`'s.
    """
    known = np.where(terminated, 0.0, values)
    targets = np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        last = t + 1 == len(rewards) or chunk[t + 1] != chunk[t]
        targets[t] = rewards[t]
        if not last:
            continues = 0.0 if terminated[t] else gae_lambda * targets[t + 1]
            targets[t] += gamma * ((1 - gae_lambda) * known[t + 1] + continues)
    return targets


def returns(evidence: RungInput) -> RungReport:
    """Value targets straight; advantages raw, or standardised as RLlib does it, which is explained."""
    sheet = RungReport(4)
    attempt(sheet, _modules, evidence)
    _installed_formula(sheet, evidence)
    return sheet


def _installed_formula(sheet: RungReport, evidence: RungInput) -> None:
    """A warning where the installed RLlib has the defective formula and this rollout did not show it."""
    installed = evidence.facts.get("ray", {})
    if installed.get("bootstraps_cut_chunks", True) or any(each.code == "PAR407" for each in sheet.found):
        return
    message = f"ray {installed['version']} has it; in this rollout it changed nothing, or other defects stand before it"
    sheet.report("PAR407", "GeneralAdvantageEstimation", message, {"ray": installed["version"]}, severity="warning")


def _modules(sheet: RungReport, evidence: RungInput) -> None:
    for module in evidence.modules():
        attempt(sheet, _module, evidence, module)


def _module(sheet: RungReport, evidence: RungInput, module: str) -> None:
    evidence.need(f"{module}/batch/actions")
    absent = [name for name in ("advantages", "value_targets") if f"{module}/batch/{name}" not in evidence.numbers]
    where = f"module {module}"
    if absent:
        sheet.report("PAR403", where, f"the batch has no {' and no '.join(absent)}", {"absent": absent}, module=module)
        return
    valid = evidence.need(f"{module}/rows/valid")
    advantages = evidence.need(f"{module}/batch/advantages")
    targets = evidence.need(f"{module}/batch/value_targets")
    finite = np.isfinite(advantages[valid]) & np.isfinite(targets[valid])
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        message = f"{int((~finite).sum())} of {len(finite)} rows are not finite"
        place = f"{where}, {evidence.rows(module)(row)}"
        sheet.report("PAR406", place, message, {"rows": int((~finite).sum())}, module=module)
    references = _references(evidence, module)
    _constant(sheet, where, module, advantages[valid], targets[valid], references)
    for name, (_, target) in references.items():
        difference = compare_column(evidence, module, targets[valid], target, "value target")
        if not sheet.compare(difference):
            message = f"value targets differ from {name} by up to {difference.max_abs:.3g} ({difference.where})"
            place = f"{where}, {difference.where}"
            sheet.report("PAR404", place, message, {"against": name, **figures(difference)}, module=module)
            _defective_formula(sheet, evidence, module, targets[valid], difference)
            break
    _advantages(sheet, evidence, module, references)
    if not references:
        raise Missing(f"module {module} has no values to compute advantages from")


def _defective_formula(
    sheet: RungReport, evidence: RungInput, module: str, targets: np.ndarray, difference: Difference
) -> None:
    """Whether targets that are not SB3's are those of RLlib's formula before pull request 59958."""
    valid = evidence.need(f"{module}/rows/valid")
    columns = [evidence.numbers.get(f"{module}/{name}") for name in ("batch/rewards", "batch/terminateds", "values")]
    bootstrap = evidence.numbers.get(f"{module}/bootstrap")
    if bootstrap is None or any(column is None or column.shape != valid.shape for column in columns):
        return
    # What the formula was given: that rewards and ends are the environment's is rung 3's business.
    rewards, terminated, values = (column[valid].astype(np.float64) for column in columns if column is not None)
    terminated = terminated.astype(bool)
    chunk = evidence.need(f"{module}/rows/chunk")
    settings = evidence.settings(module)
    gamma, gae_lambda = settings["gamma"], settings["gae_lambda"]
    right = values + generalised_advantages(rewards, values, bootstrap, terminated, chunk, gamma, gae_lambda)
    defective = targets_before_59958(rewards, values, terminated, chunk, gamma, gae_lambda)
    if compare_column(evidence, module, targets, right, "value target"):
        return
    explained = compare_column(evidence, module, targets, defective, "value target")
    if not explained:
        return
    installed = evidence.facts.get("ray", {})
    ends = np.append(chunk[1:] != chunk[:-1], True)
    cut, over = int((ends & ~terminated).sum()), int((ends & terminated).sum())
    lost = [f"the value after {cut} chunks that were truncated or cut"] if cut else []
    lost += [f"the value of the last row of {over} terminated ones"] if over and gae_lambda < 1 else []
    message = (
        f"{evidence.label(module)}{' and '.join(lost)} counts as 0: value targets are off by up to "
        f"{difference.max_abs:.3g}, and by {explained.max_abs:.2g} from the formula "
    )
    fix = None
    if installed.get("bootstraps_cut_chunks"):
        message += (
            f"that RLlib had before pull request 59958; ray {installed['version']} has the fix, so it is the port's"
        )
        fix = "Remove the connector or learner that computes value targets."
    else:
        message += f"of ray {installed.get('version', '2.47.1')}"
    found = {
        "ray": installed.get("version"),
        "chunks_without_bootstrap": cut,
        "terminated_chunks": over,
        "from_the_formula": explained.max_abs,
        **figures(difference),
    }
    sheet.report("PAR407", f"module {module}", message, found, module=module, fix=fix)


def _references(evidence: RungInput, module: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Raw advantages and value targets by who computed them."""
    found = {}
    numbers = evidence.numbers
    if f"{module}/sb3/returns" in numbers:
        found["SB3's buffer"] = (numbers[f"{module}/sb3/raw_advantages"], numbers[f"{module}/sb3/returns"])
    values, bootstrap = numbers.get(f"{module}/values"), numbers.get(f"{module}/bootstrap")
    valid = evidence.need(f"{module}/rows/valid")
    if values is not None and bootstrap is not None and values.shape == valid.shape and bootstrap.ndim == 1:
        settings = evidence.settings(module)
        own = values[valid].astype(np.float64)
        advantages = generalised_advantages(
            evidence.need(f"{module}/env/reward"),
            own,
            bootstrap.astype(np.float64),
            evidence.need(f"{module}/env/terminated"),
            evidence.need(f"{module}/rows/chunk"),
            settings["gamma"],
            settings["gae_lambda"],
        )
        found["the reference on the port's own values"] = (advantages, advantages + own)
    return found


def _constant(
    sheet: RungReport,
    where: str,
    module: str,
    advantages: np.ndarray,
    targets: np.ndarray,
    references: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Constant numbers where the references vary; a task whose rewards say nothing has constant ones by right."""
    for code, name, column, i in (
        ("PAR401", "advantages", advantages, 0),
        ("PAR402", "value targets", targets, 1),
    ):
        varies = all(np.ptp(reference[i]) > CONSTANT for reference in references.values())
        if len(column) > 1 and varies and np.ptp(column) <= CONSTANT:
            key = "advantage_std" if i == 0 else "value_target_std"
            found = {key: float(column.std()), "mean": float(column.mean()), "rows": len(column)}
            message = f"all {len(column)} {name} are {column[0]:.3g}"
            sheet.report(code, where, message, found, module=module)


def _advantages(
    sheet: RungReport, evidence: RungInput, module: str, references: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    valid = evidence.need(f"{module}/rows/valid")
    advantages = evidence.need(f"{module}/batch/advantages")
    raw = [compare_column(evidence, module, advantages[valid], ref[0], "advantage") for ref in references.values()]
    if raw and all(raw):
        for difference in raw:
            sheet.compare(difference)
        return
    standardised = _standardised(evidence, module, advantages, valid, references)
    if standardised is not None and sheet.compare(standardised):
        rllib = "ray" in evidence.facts
        sheet.explained.append(
            "RLlib standardises advantages over all rows of the batch, bootstrap rows included "
            "(general_advantage_estimation.py:148)"
            if rllib
            else "advantages are standardised over all rows of the batch"
        )
        return
    if standardised is None:
        # Without values nothing says whether these are RLlib's standardised ones.
        evidence.need(f"{module}/values")
    if standardised is None and not raw:
        return
    difference = raw[0] if standardised is None else standardised
    sheet.compare(difference)
    message = f"advantages are off by up to {difference.max_abs:.3g} ({difference.where})"
    sheet.report("PAR405", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _standardised(
    evidence: RungInput,
    module: str,
    advantages: np.ndarray,
    valid: np.ndarray,
    references: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Difference | None:
    """The batch's advantages against ``(target - value - mean) / max(1e-4, std)`` over all rows."""
    values = evidence.numbers.get(f"{module}/values")
    if values is None or values.shape != advantages.shape:
        return None
    raw = evidence.need(f"{module}/batch/value_targets").astype(np.float64) - values
    # Rows for bootstrapping have no reference of their own: only their part in mean and std is RLlib's.
    for reference, _ in list(references.values())[:1]:
        raw[valid] = reference
    std = max(RLLIB_SMALLEST_STD, float(raw.std()))
    expected = (raw - raw.mean()) / std
    allowed = scaled(evidence.tolerance, expected)
    # An error of the raw numbers grows with the division.
    magnitude = max(1.0, float(np.abs(evidence.need(f"{module}/batch/value_targets")).max(initial=0.0)))
    allowed = dataclasses.replace(allowed, absolute=allowed.absolute * max(1.0, magnitude / std))
    return elementwise(advantages[valid], expected[valid], allowed, "advantage", evidence.rows(module))
