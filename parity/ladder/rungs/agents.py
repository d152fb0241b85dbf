"""Rung 0, whether the environment of several agents keeps to what RLlib's episodes need."""

from __future__ import annotations

from parity.ladder.rung_input import RungInput, RungReport
from parity.results.summary import Severity

# Kind of breach, as the runner notes it -> code and severity of its finding.
_CODES: dict[str, tuple[str, Severity]] = {
    "form": ("PAR047", "error"),
    "unknown": ("PAR044", "error"),
    "outside": ("PAR040", "error"),
    "bounds": ("PAR040", "warning"),
    "no_reward": ("PAR041", "error"),
    "no_last_reward": ("PAR041", "warning"),
    "no_last_observation": ("PAR042", "error"),
    "no_all": ("PAR043", "error"),
    "all_by_name": ("PAR043", "error"),
    "after_end": ("PAR045", "error"),
}


def agents(sheet: RungReport, evidence: RungInput) -> None:
    """Spaces, agents, rewards, last observations and ends, as they were seen while the environment was played."""
    facts = evidence.facts.get("conduct")
    if facts is None:
        return  # it could not be opened: that is a finding of its own
    for kind, breach in facts["breaches"].items():
        code, severity = _CODES[kind]
        where = f"agent {breach['agent']}, {breach['place']}" if breach["agent"] else breach["place"]
        times = "" if breach["times"] == 1 else f" (and {breach['times'] - 1} times more)"
        sheet.report(code, where, f"{breach['detail']}{times}", {"times": breach["times"]}, severity=severity)
    if not facts["seen"]:
        return
    learner = str(evidence.facts["learning_agent"])
    for agent in [agent for agent in facts["possible"] if agent not in facts["seen"]]:
        message = f"agent {agent} is among possible_agents and saw nothing in {facts['episodes']} episodes"
        severity = "error" if agent == learner else "warning"
        sheet.report("PAR046", f"agent {agent}", message, {"episodes": facts["episodes"]}, severity=severity)
