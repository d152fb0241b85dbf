"""``--device`` for both frameworks."""

from __future__ import annotations

from collections.abc import Callable

from parity.errors import CannotStart

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(wanted: str) -> str:
    """``"cpu"`` or ``"cuda"``.

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


def synchronizer(device: str) -> Callable[[], None] | None:
    """What a clock has to wait for on this device."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.synchronize
    return None
