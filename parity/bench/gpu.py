"""How busy a GPU is while something runs: NVML by nvidia-ml-py where it is installed, PyTorch's own counters else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from statistics import mean

from parity.results.bench import GpuUse

INTERVAL_S = 0.1


@contextlib.contextmanager
def watched(device: str) -> Iterator[Callable[[], GpuUse | None]]:
    """Yields a function that says, after the ``with`` block, how the GPU was used in it; None on a CPU."""
    import torch

    if device != "cuda" or not torch.cuda.is_available():
        yield lambda: None
        return

    torch.cuda.reset_peak_memory_stats()
    seen: list[tuple[float, float]] = []
    stop = threading.Event()
    thread = threading.Thread(target=_poll, args=(torch.cuda.current_device(), seen, stop), daemon=True)
    thread.start()
    try:
        yield lambda: GpuUse(
            name=torch.cuda.get_device_name(),
            utilisation=mean(use for use, _ in seen) if seen else None,
            memory_mb=max(memory for _, memory in seen) if seen else None,
            allocated_mb=torch.cuda.max_memory_allocated() / 2**20,
        )
    finally:
        stop.set()
        thread.join()


def _poll(index: int, seen: list[tuple[float, float]], stop: threading.Event) -> None:
    try:
        import pynvml
    except ImportError:
        return
    pynvml.nvmlInit()
    try:
        import torch

        # By its identity: CUDA_VISIBLE_DEVICES numbers cards anew, NVML does not.
        uuid = str(torch.cuda.get_device_properties(index).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        while not stop.wait(INTERVAL_S):
            use = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            seen.append((float(use), pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20))
    except pynvml.NVMLError:
        seen.clear()  # as on a card that is shared out: no figure rather than a wrong one
    finally:
        pynvml.nvmlShutdown()
