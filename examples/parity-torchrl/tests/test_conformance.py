"""TorchRL keeps every promise of parity's adapter protocol."""

from __future__ import annotations

from parity.testing import FrameworkConformance


class TestTorchRL(FrameworkConformance):
    framework = "torchrl"
