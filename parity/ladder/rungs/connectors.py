"""Rung 0, the port's own connectors: which of them cannot work, and which take the mask from where the module looks."""

from __future__ import annotations

from parity.ladder.rung_input import RungInput, RungReport
from parity.results.capture import Contract, Raised
from parity.results.summary import Severity

# RLlib's own, with an observation of several entries (ray 2.60.0 with gymnasium 1.2): what does the same with a mask.
FIXES = {
    "MeanStdFilter": (
        "Leave MeanStdFilter out: it takes no Dict observation, and so none with its mask. Normalise inside the network of "
        'both sides, by constants: self.register_buffer("mean", ...) and (obs - self.mean) / self.std'
    ),
    "FrameStacking": (
        "Leave FrameStacking out: it takes images alone, and no Dict with a mask. Stack in the environment of both sides, "
        "below what adds the mask: gymnasium.wrappers.FrameStackObservation"
    ),
    "FlattenObservations": (
        "Leave FlattenObservations out and flatten inside the module, without the mask: "
        'torch.cat([part.flatten(1) for name, part in obs.items() if name != "action_mask"], -1)'
    ),
    "PrevActionsPrevRewards": (
        "Show the last action and reward in the environment of both sides: SB3's network has no such inputs otherwise"
    ),
}
FOR_ALL_AGENTS = (
    "{}(..., multi_agent=True): the environment has several agents for RLlib, even where one of them acts alone"
)
# What depends on a module that finds its mask.
OF_THE_MASK = ("build", "space", "forward", "sample", "scaled weights", "sensitivity")


def connectors(report: RungReport, inputs: RungInput, contract: Contract) -> None:
    """Whether every agent still has an observation behind each connector, with its mask in it and as it was."""
    for each in contract.connectors:
        where, fix = f"connector {each.name}", FIXES.get(each.name)
        if not each.per_agent:
            message = (
                f"{each.name} makes one observation of those of all agents: {each.observations or 'no Dict of agents'}"
            )
            report.report("PAR055", where, message, {"connector": each.name}, fix=FOR_ALL_AGENTS.format(each.name))
        elif each.loses_mask:
            stops = any(part.startswith(OF_THE_MASK) for part in inputs.context.raised)
            moved = each.moves_mask_to
            place = (
                f'it lies at obs["{moved.replace("/", chr(34) + "][" + chr(34))}"]'
                if moved
                else f"the module gets {each.observations}"
            )
            message = f'behind {each.name} the observation has no entry "action_mask": {place}'
            severity: Severity = "error" if stops else "warning"
            report.report("PAR056", where, message, {"connector": each.name}, fix=fix, severity=severity)
        elif each.changes_mask is not None:
            message = f"behind {each.name} the mask is {each.changes_mask}"
            report.report("PAR056", where, message, {"connector": each.name}, fix=fix, severity="warning")


def stopped(report: RungReport, part: str, error: Raised) -> None:
    """Adds the finding of a connector that raised, unless it stands there already."""
    if any(each.code == "PAR055" for each in report.findings):
        return
    message = f"{error.connector} raises {error.type} ({part}): {error.message[:200]}"
    evidence = {"connector": error.connector, "exception": error.type}
    report.report("PAR055", f"connector {error.connector}", message, evidence, fix=FIXES.get(error.connector))
