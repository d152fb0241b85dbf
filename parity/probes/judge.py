"""Says which claims of a probe fail, and what is known to cause that. Runs nothing, imports no framework."""

from __future__ import annotations

import math

from parity.probes.claims import CERTAIN, ENOUGH, ActionIsCertain, Answers, Failure, Probe, Symptom, ValueIs

# A policy that nothing teaches drifts around a half; one that is taught the opposite ends near 0.
PROBABILITY_TOLERANCE = 0.25


def judge(probe: Probe, answers: Answers) -> list[Failure]:
    """The claims that do not hold, in the probe's order, so the most telling first; an empty list where all hold."""
    if answers.raised is not None:
        return [Failure("it trains", f"raised {answers.raised}")]
    actions = [claim for claim in probe.claims if isinstance(claim, ActionIsCertain)]
    plays_right = not any(_action(claim, answers) for claim in actions)
    failures = [_legal(answers)] if answers.illegal else []
    for claim in probe.claims:
        failure = _action(claim, answers) if isinstance(claim, ActionIsCertain) else _value(claim, answers, plays_right)
        failures += [failure] if failure else []
    played = _played(probe, answers)
    return failures + ([played] if played else [])


def _legal(answers: Answers) -> Failure:
    return Failure(
        "no illegal action is played",
        f"{answers.illegal} were",
        "the policy that samples does not see the mask that the environment shows",
    )


def _action(claim: ActionIsCertain, answers: Answers) -> Failure | None:
    probability = float(answers.probabilities[claim.state][claim.action])
    if probability >= CERTAIN:
        return None
    return Failure(
        f"action {claim.action} has a probability of at least {CERTAIN:g} in {claim.state}",
        f"it has {probability:.3g}",
        _recognised(claim.symptoms, probability, PROBABILITY_TOLERANCE) or claim.otherwise,
    )


def _value(claim: ValueIs, answers: Answers, plays_right: bool) -> Failure | None:
    value = answers.values[claim.state]
    if abs(value - claim.expected) <= claim.tolerance:
        return None
    # The claim is about the best policy's value; another policy's value may differ from it and be right.
    otherwise = claim.otherwise if plays_right else None
    return Failure(
        f"the value of {claim.state} is {claim.expected:.3g}",
        f"it is {value:.3g}",
        _recognised(claim.symptoms, value, claim.tolerance) or otherwise,
    )


def _recognised(symptoms: tuple[Symptom, ...], answer: float, tolerance: float) -> str | None:
    """The cause of the nearest known wrong answer, if one is near."""
    near = min(symptoms, key=lambda symptom: abs(symptom.answer - answer), default=None)
    return near.cause if near is not None and abs(near.answer - answer) <= tolerance else None


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
