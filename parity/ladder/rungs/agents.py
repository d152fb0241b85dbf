"""Rung 0, whether the environment of several agents keeps to what RLlib's episodes need."""

from __future__ import annotations

from parity.ladder.rung_input import RungInput, RungReport
from parity.results.capture import Contract
from parity.results.summary import Severity

# Kind of breach, as it was collected -> code and severity of its finding.
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


def agents(report: RungReport, inputs: RungInput, contract: Contract) -> None:
    """Spaces, agents, rewards, last observations and ends, as they were seen while the environment was played."""
    for actions, error in contract.env_check.items():
        code = "PAR060" if actions == "illegal" else "PAR061"
        where = error.place or "multi-agent environment"
        message = f"on {actions} actions the environment raised {error.type}: {error.message}"
        report.report(code, where, message, {"exception": error.type, "message": error.message})
    if not contract.has("env_contract"):
        return  # it could not be opened: that is a finding of its own
    env_contract = contract.env_contract
    for kind, breach in env_contract.breaches.items():
        code, severity = _CODES[kind]
        where = f"agent {breach.agent}, {breach.place}" if breach.agent else breach.place
        times = "" if breach.times == 1 else f" (and {breach.times - 1} times more)"
        report.report(code, where, f"{breach.detail}{times}", {"times": breach.times}, severity=severity)
    if not env_contract.seen:
        return
    for agent in [agent for agent in env_contract.possible if agent not in env_contract.seen]:
        message = f"agent {agent} is among possible_agents and saw nothing in {env_contract.episodes} episodes"
        severity = "error" if agent == inputs.context.learning_agent else "warning"
        report.report("PAR046", f"agent {agent}", message, {"episodes": env_contract.episodes}, severity=severity)
