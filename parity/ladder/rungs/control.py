"""How much of the tolerance the device alone uses up: the same module on the CPU and there."""

from __future__ import annotations

from typing import Any

from parity.ladder.difference import elementwise, largest, per_tensor
from parity.ladder.rung_input import RungInput, scaled
from parity.results.capture import Control


def control(inputs: RungInput, capture: dict[str, Control]) -> dict[str, Any] | None:
    """The largest differences between both devices, by quantity, in units of the tolerance; None where there is one device."""
    if not capture:
        return None
    needed: dict[str, Any] = {"device": inputs.context.device}
    for name in ("logits", "values"):
        pairs = [
            (getattr(each, f"device_{name}"), getattr(each, f"cpu_{name}"))
            for each in capture.values()
            if each.has(f"device_{name}", f"cpu_{name}")
        ]
        differences = [
            elementwise(there, here, scaled(inputs.tolerance, here[here > -1e6]), name) for there, here in pairs
        ]
        needed[name] = largest(differences).tolerance_needed
    gradients = [per_tensor(each.device_gradient, each.cpu_gradient, inputs.tolerance) for each in capture.values()]
    needed["gradient"] = largest(gradients).tolerance_needed
    return needed
