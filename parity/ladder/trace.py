"""One episode per agent, as people write it out by hand when they debug a port."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.ladder.rung_input import ModuleCheck, RungInput, RungReport
from parity.ladder.rungs.legal import columns_of
from parity.ladder.tolerances import CPU
from parity.results.capture import Capture, Distribution, Forward, Missing, captured
from parity.results.check import number

MOST_STEPS = 30


def trace(capture: Capture) -> list[dict[str, Any]]:
    """The first episode of each agent whose module is trained: legal actions with probabilities, action, reward, value, end.

    Returns:
        One entry per agent: ``agent``, ``module``, ``steps``; agents of which nothing was collected are left out.
    """
    inputs = RungInput(capture.context, CPU)
    try:
        return [episode for module in inputs.modules() for episode in _episodes(capture, inputs, module)]
    except Missing:
        return []


def _episodes(capture: Capture, inputs: RungInput, name: str) -> list[dict[str, Any]]:
    module = ModuleCheck(inputs, name, RungReport(0))
    probability = captured(capture.distribution, Distribution, name).entry("probability", "exploration")
    values = captured(capture.forward, Forward, name).optional("values")
    agents, chunk = module.rows.agent, module.rows.chunk
    episodes = []
    for agent in dict.fromkeys(agents.tolist()):
        rows = np.flatnonzero((agents == agent) & (chunk == chunk[np.argmax(agents == agent)]))[:MOST_STEPS]
        steps = [_step(module, probability, values, int(row)) for row in rows]
        episodes.append({"agent": inputs.context.agents[agent], "module": name, "steps": steps})
    return episodes


def _step(module: ModuleCheck, probabilities: np.ndarray, values: np.ndarray | None, row: int) -> dict[str, Any]:
    rows, probability = module.rows, probabilities[row]
    legal = np.ones(len(probability), bool) if module.mask is None else module.mask[row]
    ends = [name for name in ("terminated", "truncated") if getattr(rows, name)[row]]
    parts = [
        {str(i): number(float(p)) for i, p in enumerate(probability[columns]) if legal[columns][i]}
        for columns in columns_of(module.choices, len(probability))
    ]
    return {
        "step": int(rows.step[row]),
        "legal": parts[0] if len(parts) == 1 else parts,
        "p_illegal": number(float(probability[~legal].max(initial=0.0))),
        "action": rows.action[row].tolist(),
        "reward": number(float(rows.reward[row])),
        "value": None if values is None else number(float(values.reshape(len(values), -1)[row, 0])),
        "end": ends[0] if ends else None,
    }
