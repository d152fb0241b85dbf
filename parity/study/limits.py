"""How long a trial may take and how much memory it may use. Its own process looks, beside the training."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import psutil

LOOK_EVERY_S = 1.0


@contextlib.contextmanager
def limited(seconds: float, memory_mb: float | None, exceeded: Callable[[str], None]) -> Iterator[None]:
    """Ends this process and what it started when either limit is passed, after ``exceeded`` was told so.

    ``memory_mb``: resident, in MiB, of the process and those that it started; None for no limit.
    """
    over = threading.Event()
    end = time.monotonic() + seconds

    def look() -> None:
        process = psutil.Process()
        while not over.wait(LOOK_EVERY_S):
            if time.monotonic() > end:
                reason = f"it took longer than {seconds:g} s; allow more with --trial-timeout"
            elif memory_mb is not None and (used := _resident_mb(process)) > memory_mb:
                reason = f"it used {used:.0f} MiB of memory; allow more than {memory_mb:g} with --trial-memory"
            else:
                continue
            try:
                exceeded(reason)
            finally:
                for child in process.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        child.kill()
                os._exit(1)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()  # what is over is not ended any more


def _resident_mb(process: psutil.Process) -> float:
    used = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            used += each.memory_info().rss
    return used / 2**20
