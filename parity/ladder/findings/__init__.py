"""Every defect that parity knows by name. A code is stable: it is never renamed, moved or given to something else."""

from __future__ import annotations

from parity.errors import CannotStart
from parity.ladder.findings import (
    agents,
    contract,
    distribution,
    forward,
    gradient,
    lockstep,
    loss,
    returns,
    rollout,
    step,
    update,
)
from parity.ladder.findings.rule import Rule

RULES: dict[str, Rule] = {
    rule.code: rule
    for part in (contract, agents, forward, distribution, rollout, returns, loss, gradient, step, update, lockstep)
    for rule in part.RULES
}


def rule(code: str) -> Rule:
    """The rule of a code, in any case.

    Raises:
        CannotStart: there is none.
    """
    found = RULES.get(code.upper())
    if found is None:
        raise CannotStart(f"There is no rule {code}; `parity rules` lists them.")
    return found


def consequences(code: str) -> set[str]:
    """Codes that may follow from this one, directly or by way of others."""
    found: set[str] = set()
    waiting = [code]
    while waiting:
        for following in RULES[waiting.pop()].explains:
            if following not in found:
                found.add(following)
                waiting.append(following)
    if RULES[code].rung < 9:
        # Whole iterations go through everything that the lower rungs look at one by one.
        found |= {each.code for each in lockstep.RULES if each.severity == "error"}
    return found
