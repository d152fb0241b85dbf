"""How much of the tolerance the device alone uses up: the same module on the CPU and there."""

from __future__ import annotations

from typing import Any

from parity.ladder.difference import elementwise, largest, per_tensor
from parity.ladder.rung_input import RungInput, scaled


def control(evidence: RungInput) -> dict[str, Any] | None:
    """The largest differences between both devices, by quantity, in units of the tolerance; None where there is one device."""
    if "control" not in evidence.facts:
        return None
    found: dict[str, Any] = {"device": evidence.facts["control"]}
    modules = evidence.modules()
    for name in ("logits", "values"):
        pairs = [
            (evidence.numbers.get(f"{m}/control/device/{name}"), evidence.numbers.get(f"{m}/control/cpu/{name}"))
            for m in modules
        ]
        compared = [
            elementwise(there, here, scaled(evidence.tolerance, here[here > -1e6]), name)
            for there, here in pairs
            if there is not None and here is not None
        ]
        found[name] = largest(compared).tolerance_needed
    gradients = [
        per_tensor(
            evidence.numbers.below(f"{m}/control/device/gradient"),
            evidence.numbers.below(f"{m}/control/cpu/gradient"),
            evidence.tolerance,
        )
        for m in modules
    ]
    found["gradient"] = largest(gradients).tolerance_needed
    return found
