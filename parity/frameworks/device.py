"""The option ``--device``, for every framework."""

from __future__ import annotations

import os
from collections.abc import Callable

from parity.errors import CannotStart

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(wanted: str) -> str:
    """Turns one of `DEVICES` into ``"cpu"`` or ``"cuda"``.

    Raises:
        CannotStart: a GPU was asked for and PyTorch sees none.
    """
    import torch

    if wanted not in DEVICES:
        raise CannotStart(f"--device {wanted}: use one of {', '.join(DEVICES)}.")
    if wanted == "cuda" and not torch.cuda.is_available():
        build = "this PyTorch is a CPU build" if torch.version.cuda is None else "PyTorch sees none"
        raise CannotStart(f"--device cuda: there is no GPU on this machine ({build}); use --device cpu.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def exact_arithmetic() -> None:
    """Makes a GPU compute in true float32, for comparisons: no TF32, deterministic algorithms where they exist."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def _wait() -> None:
    import torch

    # What is captured runs later.
    if not torch.cuda.is_current_stream_capturing():
        torch.cuda.synchronize()


def synchronizer(device: str) -> Callable[[], None] | None:
    """Waits for the kernels launched on this device, so that a clock includes them; None for a CPU."""
    if device.startswith("cuda"):
        return _wait
    return None
