"""What a process trained under, read from it afterwards: a port may have changed any of it."""

from __future__ import annotations

from typing import Any


def conditions() -> dict[str, Any]:
    """By name, in words that stand in a table."""
    import torch

    return {
        "torch threads": torch.get_num_threads(),
        "torch threads between operations": torch.get_num_interop_threads(),
        "oneDNN": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32 matrix products": torch.get_float32_matmul_precision(),
        "TF32 convolutions": torch.backends.cudnn.allow_tf32 if torch.cuda.is_available() else "no GPU",
        "cuDNN benchmark": torch.backends.cudnn.benchmark if torch.cuda.is_available() else "no GPU",
        "anomaly detection": torch.is_anomaly_enabled(),
        "default dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }
