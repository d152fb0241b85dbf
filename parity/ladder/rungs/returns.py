"""Rung 4: advantages and value targets, against SB3's buffer and against a reference of ten lines."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from parity.ladder.difference import Difference, elementwise
from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport, check_modules, figures, scaled
from parity.results.capture import InstalledFormula, Returns

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


def returns(inputs: RungInput, capture: dict[str, Returns], installed_formula: InstalledFormula | None) -> RungReport:
    """Value targets as they are; advantages raw, or standardised as RLlib does it, which is explained."""
    report = check_modules(4, inputs, capture, Returns, partial(_module, installed=installed_formula))
    if (
        installed_formula is not None
        and not installed_formula.bootstraps_cut_chunks
        and not any(finding.code == "PAR407" for finding in report.findings)
    ):
        version = installed_formula.version
        message = f"ray {version} has it; in this rollout it changed nothing, or other defects stand before it"
        report.report("PAR407", "GeneralAdvantageEstimation", message, {"ray": version}, severity="warning")
    return report


@dataclasses.dataclass(frozen=True)
class _Reference:
    """What the batch should hold, on the rows that stand for decisions: raw advantages and value targets, float ``[V]``."""

    name: str
    advantages: np.ndarray
    targets: np.ndarray


def _module(module: ModuleCheck, returns: Returns, installed: InstalledFormula | None) -> None:
    _ = returns.rewards  # without a batch nothing can be absent from it
    absent = [name for name in ("advantages", "value_targets") if not returns.has(name)]
    if absent:
        module.report("PAR403", None, f"the batch has no {' and no '.join(absent)}", {"absent": absent})
        return
    valid = module.rows.valid
    advantages, targets = returns.advantages[valid], returns.value_targets[valid]
    bad = np.flatnonzero(~(np.isfinite(advantages) & np.isfinite(targets)))
    if len(bad):
        message = f"{len(bad)} of {len(advantages)} rows are not finite"
        module.report("PAR406", module.place(int(bad[0])), message, {"rows": len(bad)})
    references = _references(module, returns)
    _constant(module, advantages, targets, references)
    for reference in references:
        difference = module.difference(targets, reference.targets, "value target")
        message = f"value targets differ from {reference.name} by up to {difference.max_abs:.3g} ({difference.where})"
        against, fix = {"against": reference.name}, _same_factors(module)
        if not difference and _repeats_last_value(module, returns):
            message += (
                "; the value behind each chunk is that of its last row: compute_values takes embeddings that were returned at "
                "sampling, and the row behind has none of its own"
            )
            fix = "In compute_values, compute embeddings anew where None is given; _forward_exploration returns none"
        if not module.require(difference, "PAR404", message, difference.where, against, fix=fix):
            _defective_formula(module, returns, difference, installed)
            break
    _advantages(module, returns, references, installed)
    if not references:
        module.rung.misses(f"module {module.module} has no values to compute advantages from")


def _same_factors(module: ModuleCheck) -> str | None:
    """What to do about other targets where gamma and lambda are the task's; None for the rule's own remedy."""
    own, asked = module.settings, module.inputs.configuration.task
    if any(own.get(name) != asked.get(name) for name in ("gamma", "gae_lambda")):
        return None
    return (
        "gamma and lambda are the task's: look at what learner connectors do to rewards, ends and values, and whether "
        "compute_values gives a row the same value in every batch"
    )


def _repeats_last_value(module: ModuleCheck, returns: Returns) -> bool:
    """Whether every row that is appended for bootstrapping has the value of the row before it."""
    values, valid = returns.optional("values"), module.rows.valid
    appended = np.flatnonzero(~valid)
    if values is None or values.shape != valid.shape or len(appended) < 2:
        return False
    return bool((values[appended] == values[appended - 1]).all()) and bool(np.ptp(values) > CONSTANT)


def _defective_formula(
    module: ModuleCheck, returns: Returns, difference: Difference, installed: InstalledFormula | None
) -> None:
    """Whether targets that are not SB3's are those of RLlib's formula before pull request 59958."""
    valid, bootstrap = module.rows.valid, returns.optional("bootstrap")
    columns = [returns.optional(name) for name in ("rewards", "terminateds", "values")]
    if bootstrap is None or any(column is None or column.shape != valid.shape for column in columns):
        return
    # What the formula was given: rung 3 sees to it that rewards and ends are the environment's.
    rewards, terminated, values = (column[valid].astype(np.float64) for column in columns)
    terminated = terminated.astype(bool)
    targets, chunk = returns.value_targets[valid], module.rows.chunk
    gamma, gae_lambda = module.settings["gamma"], module.settings["gae_lambda"]
    right = values + generalised_advantages(rewards, values, bootstrap, terminated, chunk, gamma, gae_lambda)
    defective = targets_before_59958(rewards, values, terminated, chunk, gamma, gae_lambda)
    if module.difference(targets, right, "value target"):
        return
    explained = module.difference(targets, defective, "value target")
    if not explained:
        return
    ends = np.append(chunk[1:] != chunk[:-1], True)
    cut, over = int((ends & ~terminated).sum()), int((ends & terminated).sum())
    lost = [f"the value after {cut} chunks that were truncated or cut"] if cut else []
    lost += [f"the value of the last row of {over} terminated ones"] if over and gae_lambda < 1 else []
    message = (
        f"{module.label}{' and '.join(lost)} counts as 0: value targets are off by up to "
        f"{difference.max_abs:.3g}, and by {explained.max_abs:.2g} from the formula "
    )
    fix = None
    if installed is not None and installed.bootstraps_cut_chunks:
        message += f"that RLlib had before pull request 59958; ray {installed.version} has the fix, so it is the port's"
        fix = "Remove the connector or learner that computes value targets."
    else:
        message += f"of ray {installed.version if installed is not None else '2.47.1'}"
    evidence = {
        "ray": installed.version if installed is not None else None,
        "chunks_without_bootstrap": cut,
        "terminated_chunks": over,
        "from_the_formula": explained.max_abs,
        **figures(difference),
    }
    module.report("PAR407", None, message, evidence, fix=fix)


def _references(module: ModuleCheck, returns: Returns) -> list[_Reference]:
    references = []
    if returns.has("sb3_returns"):
        references.append(_Reference(f"{module.other}'s buffer", returns.sb3_advantages, returns.sb3_returns))
    values, bootstrap, rows = returns.optional("values"), returns.optional("bootstrap"), module.rows
    if values is not None and bootstrap is not None and values.shape == rows.valid.shape and bootstrap.ndim == 1:
        own = values[rows.valid].astype(np.float64)
        discounts = module.settings["gamma"], module.settings["gae_lambda"]
        advantages = generalised_advantages(
            rows.reward, own, bootstrap.astype(np.float64), rows.terminated, rows.chunk, *discounts
        )
        references.append(_Reference("the reference on the port's own values", advantages, advantages + own))
    return references


def _constant(module: ModuleCheck, advantages: np.ndarray, targets: np.ndarray, references: list[_Reference]) -> None:
    """Constant numbers where the references vary; a task whose rewards are constant has constant ones rightly."""
    for code, name, key, column, expected in (
        ("PAR401", "advantages", "advantage_std", advantages, [each.advantages for each in references]),
        ("PAR402", "value targets", "value_target_std", targets, [each.targets for each in references]),
    ):
        varies = all(np.ptp(each) > CONSTANT for each in expected)
        if len(column) > 1 and varies and np.ptp(column) <= CONSTANT:
            evidence = {key: float(column.std()), "mean": float(column.mean()), "rows": len(column)}
            module.report(code, None, f"all {len(column)} {name} are {column[0]:.3g}", evidence)


def _advantages(
    module: ModuleCheck, returns: Returns, references: list[_Reference], installed: InstalledFormula | None
) -> None:
    advantages = returns.advantages[module.rows.valid]
    raw = [module.difference(advantages, each.advantages, "advantage") for each in references]
    if raw and all(raw):
        for difference in raw:
            module.rung.compare(difference)
        return
    standardised = _standardised(module, returns, references)
    if standardised is not None and module.rung.compare(standardised):
        module.rung.explained.append(
            "advantages are standardised over all rows of the batch"
            if installed is None
            else "RLlib standardises advantages over all rows of the batch, bootstrap rows included "
            "(general_advantage_estimation.py:148)"
        )
        return
    if standardised is None:
        _ = returns.values  # without them nothing says whether these are RLlib's standardised ones
    if not raw:
        return  # raw ones are no standardised ones, and nothing says which they should be
    difference = raw[0] if standardised is None else standardised
    message = f"advantages are off by up to {difference.max_abs:.3g} ({difference.where})"
    module.require(difference, "PAR405", message, difference.where)


def _standardised(module: ModuleCheck, returns: Returns, references: list[_Reference]) -> Difference | None:
    """The batch's advantages against ``(target - value - mean) / max(1e-4, std)`` over all rows."""
    advantages, targets, values = returns.advantages, returns.value_targets, returns.optional("values")
    if values is None or values.shape != advantages.shape:
        return None
    valid = module.rows.valid
    raw = targets.astype(np.float64) - values
    # Rows for bootstrapping have no reference of their own: only their part in mean and std is RLlib's.
    if references:
        raw[valid] = references[0].advantages
    std = max(RLLIB_SMALLEST_STD, float(raw.std()))
    expected = (raw - raw.mean()) / std
    allowed = scaled(module.tolerance, expected)
    # An error of the raw numbers grows with the division.
    magnitude = max(1.0, float(np.abs(targets).max(initial=0.0)))
    allowed = dataclasses.replace(allowed, absolute=allowed.absolute * max(1.0, magnitude / std))
    return elementwise(advantages[valid], expected[valid], allowed, "advantage", module.place)
