"""A control for a device: the port's own module, on the CPU and there, so that the device's part of a difference is known."""

from __future__ import annotations

from typing import Any

import torch
import tree
from ray.rllib.core.columns import Columns

from parity.capture.module_capture import ModuleCapture
from parity.capture.rllib.behaviour import outputs_of
from parity.frameworks.rllib.arrays import array, duplicate, take
from parity.results.capture import Control


def control(own: ModuleCapture, module: Any, device: torch.device, columns: dict[str, Any]) -> None:
    """Logits, values and a gradient of the same module on the same rows, on two devices.

    The gradient is that of a fixed linear function of logits and values.

    Args:
        module: on the CPU, with the weights of the rollout.
        columns: the learner's batch of the module.
    """
    batch = take(columns[Columns.OBS], own.decisions(len(columns[Columns.ACTIONS])))
    into = own.capture.control[own.module] = Control(module=own.module)
    for name, place in (("cpu", torch.device("cpu")), ("device", device)):
        there = duplicate(module).to(place)
        logits, values = outputs_of(there, tree.map_structure(lambda leaf, to=place: leaf.detach().to(to), batch))
        results = {"logits": logits} if values is None else {"logits": logits, "values": values}
        generator = torch.Generator().manual_seed(0)
        # Illegal logits are constants as large as -1e38.
        terms = [
            (torch.where(x > -1e6, x, 0.0) * torch.randn(x.shape, generator=generator).to(place)).mean()
            for x in results.values()
        ]
        torch.stack(terms).sum().backward()
        for key, value in results.items():
            setattr(into, f"{name}_{key}", array(value))
        gradient = {n: array(p.grad) for n, p in there.named_parameters() if p.grad is not None}
        setattr(into, f"{name}_gradient", gradient)
    own.capture.context.device = str(device)
