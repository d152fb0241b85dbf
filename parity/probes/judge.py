"""Which claims of a probe fail, and what is known to break them. Runs nothing, imports no framework."""

from __future__ import annotations

import math

from parity.probes.claims import CERTAIN, ENOUGH, ActionIsCertain, Answers, Claim, Failure, Probe, ValueIs

# A policy that nothing teaches drifts around a half; one that is taught the opposite ends near 0.
PROBABILITY_TOLERANCE = 0.25


def judge(probe: Probe, answers: Answers) -> list[Failure]:
    """The claims that do not hold, most telling first; an empty list where all hold."""
    if answers.raised is not None:
        return [Failure("it trains", f"raised {answers.raised}")]
    failures = [_legal(answers)] if answers.illegal else []
    failures += filter(None, (_claim(claim, answers) for claim in probe.claims))
    played = _played(probe, answers)
    return failures + ([played] if played else [])


def _legal(answers: Answers) -> Failure:
    return Failure(
        "no illegal action is played",
        f"{answers.illegal} were",
        "the policy that samples does not see the mask that the environment shows",
    )


def _claim(claim: Claim, answers: Answers) -> Failure | None:
    match claim:
        case ValueIs():
            value = answers.values[claim.state]
            if abs(value - claim.expected) <= claim.tolerance:
                return None
            return Failure(
                f"the value of {claim.state} is {claim.expected:.3g}",
                f"it is {value:.3g}",
                _cause(claim, value, claim.tolerance),
            )
        case ActionIsCertain():
            probability = float(answers.probabilities[claim.state][claim.action])
            if probability >= CERTAIN:
                return None
            return Failure(
                f"action {claim.action} has a probability of at least {CERTAIN:g} in {claim.state}",
                f"it has {probability:.3g}",
                _cause(claim, probability, PROBABILITY_TOLERANCE),
            )


def _cause(claim: Claim, found: float, tolerance: float) -> str | None:
    """That of the nearest known wrong answer, if one is near."""
    near = min(claim.symptoms, key=lambda symptom: abs(symptom.answer - found), default=None)
    return near.cause if near is not None and abs(near.answer - found) <= tolerance else claim.otherwise


def _played(probe: Probe, answers: Answers) -> Failure | None:
    reference = probe.task.reference
    assert reference is not None
    low, best = reference["uniform_legal"], reference.get("best", reference["uniform_legal"])
    enough = low + ENOUGH * (best - low)
    mean = float(answers.returns.mean()) if len(answers.returns) else math.nan
    # A sum of float32 rewards may be off in its last digit.
    if mean >= enough - 1e-6:
        return None
    return Failure(f"deterministic play returns at least {enough:.3g} on average", f"it returns {mean:.3g}")
