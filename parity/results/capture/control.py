"""The control of a device: what it alone does to a module's numbers."""

from __future__ import annotations

from dataclasses import field

import numpy as np

from parity.results.capture.base import ABSENT, Arrays, Captured


class Control(Captured):
    """One module on the CPU and on another device: what the device alone does to logits, values and the gradient."""

    PARTS = ("control",)

    cpu_logits: np.ndarray = ABSENT
    cpu_values: np.ndarray = ABSENT
    cpu_gradient: Arrays = field(default_factory=dict)
    device_logits: np.ndarray = ABSENT
    device_values: np.ndarray = ABSENT
    device_gradient: Arrays = field(default_factory=dict)
