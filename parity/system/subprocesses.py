"""Work on a user's code in a process of its own: the driver imports no framework, and outlives a crash."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from parity.errors import CannotStart

T = TypeVar("T")


def run_in_subprocess(work: Callable[..., T], *arguments: object, about: str) -> T:
    """``work(*arguments)`` in a fresh process; ``about`` names what is looked at, for the sentence.

    Raises:
        CannotStart: the process died.
        Exception: whatever ``work`` raised.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_start) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            raise CannotStart(
                f"{about}: the process that looked at it died (out of memory, os._exit, or a crash of native code)."
            ) from None


def _start() -> None:
    """Standard output is the driver's document alone; Ctrl-C ends this process without a traceback of its own."""
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
