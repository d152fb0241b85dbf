"""Rung 5: each term of the loss on the first minibatch, and the total of all."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.difference import elementwise
from parity.ladder.evidence import Evidence, Sheet, figures, scaled
from parity.ladder.rungs.attempt import attempt

TERMS = (("PAR501", "policy"), ("PAR502", "value"), ("PAR503", "entropy"))


def loss(evidence: Evidence) -> Sheet:
    """SB3's terms on the same rows, with SB3's advantages or (explained) with the port's."""
    sheet = Sheet(5)
    attempt(sheet, _modules, evidence)
    return sheet


def _modules(sheet: Sheet, evidence: Evidence) -> None:
    for module in evidence.modules():
        attempt(sheet, _finite, evidence, module)
        attempt(sheet, _total, evidence, module)
        attempt(sheet, _terms, evidence, module)
        _far_from_one(sheet, evidence, module)


def _finite(sheet: Sheet, evidence: Evidence, module: str) -> None:
    total = evidence.need(f"{module}/update/loss/total")
    bad = np.flatnonzero(~np.isfinite(total))
    if len(bad):
        message = (
            f"{len(bad)} of {len(total)} minibatches have a loss that is not finite, the first is number {int(bad[0])}"
        )
        where = f"module {module}, minibatch {int(bad[0])}"
        sheet.report("PAR505", where, message, {"minibatches": len(bad), "first": int(bad[0])}, module=module)


def _logged(evidence: Evidence, module: str) -> dict[str, np.ndarray]:
    """The terms that the learner logs; one that it does not log is NaN throughout."""
    terms = {name: evidence.need(f"{module}/update/loss/{name}") for _, name in TERMS}
    return {name: term for name, term in terms.items() if np.isfinite(term).any()}


def _combined(terms: dict[str, Any], settings: dict[str, Any]) -> Any:
    return terms["policy"] + settings["vf_coef"] * terms["value"] - settings["ent_coef"] * terms["entropy"]


def _total(sheet: Sheet, evidence: Evidence, module: str) -> None:
    """The total against the sum of its terms, in every minibatch: a further term shows once ratios have left 1."""
    total, terms = evidence.need(f"{module}/update/loss/total"), _logged(evidence, module)
    if len(terms) < len(TERMS):
        return
    expected = _combined(terms, evidence.settings(module))
    usable = np.isfinite(total) & np.isfinite(expected)
    difference = elementwise(total[usable], expected[usable], scaled(evidence.tolerance, expected), "total", _minibatch)
    if not sheet.compare(difference):
        message = f"the total loss is off the sum of its terms by up to {difference.max_abs:.3g} ({difference.where})"
        sheet.report("PAR504", f"module {module}, {difference.where}", message, figures(difference), module=module)


def _terms(sheet: Sheet, evidence: Evidence, module: str) -> None:
    ours = _logged(evidence, module)
    with_sb3s = {name: evidence.need(f"{module}/sb3/first_sb3/loss/{name}")[:1] for _, name in TERMS}
    with_ports = {name: evidence.need(f"{module}/sb3/first_advantages/loss/{name}")[:1] for _, name in TERMS}
    # The surrogate is a mean of terms of the advantages' size, and may cancel to nothing.
    size = np.abs(evidence.need(f"{module}/batch/advantages")[evidence.need(f"{module}/rows/valid")])
    if not ours:
        sheet.skipped.append(f"the learner of module {module} logs no loss terms")
        return
    for code, name in TERMS:
        if name not in ours:
            continue
        theirs = with_sb3s[name]
        tolerance = scaled(evidence.tolerance, np.concatenate([theirs, size]) if name == "policy" else theirs)
        direct = elementwise(ours[name][:1], theirs, tolerance, name, _minibatch)
        explained = elementwise(ours[name][:1], with_ports[name], tolerance, name, _minibatch)
        if direct:
            sheet.compare(direct)
        elif sheet.compare(explained):
            sheet.explained.append(f"the {name} loss is SB3's with the port's advantages")
        else:
            found = {"port": float(ours[name][0]), "sb3": float(with_ports[name][0]), **figures(explained)}
            message = f"the {name} term of the first minibatch is {found['port']:.6g}, SB3's is {found['sb3']:.6g}"
            sheet.report(code, f"module {module}, minibatch 0", message, found, module=module)


def _far_from_one(sheet: Sheet, evidence: Evidence, module: str) -> None:
    """The surrogate where ratios spread from 1/2 to 2, against Schulman et al. 2017, equation 7, in float64.

    Minibatches of a short update hardly leave a ratio of 1: whether and how it is clipped shows here.
    """
    stress = {name: array.astype(np.float64) for name, array in evidence.numbers.below(f"{module}/stress").items()}
    settings, logged = evidence.settings(module), stress.get("loss/policy")
    if (
        logged is None
        or not np.isfinite(logged).all()
        or any(not np.isfinite(stress[name]).all() for name in ("logp", "old_logp", "advantages"))
    ):
        return
    clip, advantages = settings["clip_range"], stress["advantages"]
    ratio = np.exp(stress["logp"] - stress["old_logp"])
    found = {}
    # RLlib's come standardised over the batch, SB3's are over the minibatch, with ddof 1 (ppo_mask.py:349).
    spread = advantages.std(ddof=1) + 1e-8 if len(advantages) > 1 else 1.0
    for name, a in (("as they are", advantages), ("normalised", (advantages - advantages.mean()) / spread)):
        expected = -np.minimum(a * ratio, a * np.clip(ratio, 1 - clip, 1 + clip)).mean()
        size = np.concatenate([np.abs(a) * ratio, [1.0]])
        found[name] = (expected, elementwise(logged, np.array([expected]), scaled(evidence.tolerance, size), "policy"))
    if settings["normalize_advantage"] and found["normalised"][1]:
        sheet.compare(found["normalised"][1])
        return
    expected, difference = found["as they are"]
    if not sheet.compare(difference):
        message = (
            f"with ratios from {ratio.min():.2g} to {ratio.max():.2g} the policy term is {logged[0]:.6g}; clipped at "
            f"{clip:g} it would be {expected:.6g}"
        )
        figures_ = {"port": float(logged[0]), "reference": float(expected), "clip_range": clip, **figures(difference)}
        sheet.report("PAR501", f"module {module}, ratios far from 1", message, figures_, module=module)


def _minibatch(row: int) -> str:
    return f"minibatch {row}"
