"""One episode per agent, as people write it out by hand when they debug a port."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.rung_input import Missing, RungInput
from parity.ladder.rungs.legal import groups
from parity.ladder.tolerances import CPU
from parity.results.capture import Numbers
from parity.results.check import number

MOST_STEPS = 30


def trace(numbers: Numbers) -> list[dict[str, Any]]:
    """The first episode of each agent whose module is trained: legal actions with probabilities, action, reward, value, end.

    Returns:
        One entry per agent: ``agent``, ``module``, ``steps``; agents that nothing was collected of are left out.
    """
    evidence = RungInput(numbers, CPU)
    try:
        modules = evidence.modules()
        return [episode for module in modules for episode in _episodes(evidence, module)]
    except Missing:
        return []


def _episodes(evidence: RungInput, module: str) -> list[dict[str, Any]]:
    agents = evidence.need(f"{module}/rows/agent")
    chunk = evidence.need(f"{module}/rows/chunk")
    names = evidence.fact("agents")
    found = []
    for agent in dict.fromkeys(agents.tolist()):
        rows = np.flatnonzero((agents == agent) & (chunk == chunk[np.argmax(agents == agent)]))[:MOST_STEPS]
        steps = [_step(evidence, module, int(row)) for row in rows]
        found.append({"agent": names[agent], "module": module, "steps": steps})
    return found


def _step(evidence: RungInput, module: str, row: int) -> dict[str, Any]:
    probability = evidence.need(f"{module}/phase/exploration/probability")[row]
    mask = evidence.numbers.get(f"{module}/env/mask")
    legal = np.ones(len(probability), bool) if mask is None else mask[row]
    values = evidence.numbers.get(f"{module}/phase/train/values")
    ends = [name for name in ("terminated", "truncated") if evidence.need(f"{module}/env/{name}")[row]]
    parts = [
        {str(i): number(float(p)) for i, p in enumerate(probability[columns]) if legal[columns][i]}
        for columns in groups(evidence.about(module)["choices"], len(probability))
    ]
    return {
        "step": int(evidence.need(f"{module}/rows/step")[row]),
        "legal": parts[0] if len(parts) == 1 else parts,
        "p_illegal": number(float(probability[~legal].max(initial=0.0))),
        "action": evidence.need(f"{module}/env/action")[row].tolist(),
        "reward": number(float(evidence.need(f"{module}/env/reward")[row])),
        "value": None if values is None else number(float(values.reshape(len(values), -1)[row, 0])),
        "end": ends[0] if ends else None,
    }
