"""Runs work that imports a user's code in a separate process: the driver imports no framework and survives a crash."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from parity.errors import CannotStart

T = TypeVar("T")
HASH_SEED = "PYTHONHASHSEED"


def run_in_subprocess(work: Callable[..., T], *arguments: object, about: str) -> T:
    """Runs ``work(*arguments)`` in a fresh process; ``about`` names its subject for the message below.

    Raises:
        CannotStart: the process died.
        Exception: whatever ``work`` raised.
    """
    spawn = multiprocessing.get_context("spawn")
    with fixed_hash_seed(), ProcessPoolExecutor(1, mp_context=spawn, initializer=_start) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            raise CannotStart(
                f"{about}: the process that looked at it died (out of memory, os._exit, or a crash of native code)."
            ) from None


@contextlib.contextmanager
def fixed_hash_seed() -> Iterator[None]:
    """Processes that start inside hash alike, unless the user chose a seed.

    RLlib keeps agents in sets: the order of rows, and with it every share and place that parity tells, would differ from
    one start to the next.
    """
    if HASH_SEED in os.environ:
        yield
        return
    os.environ[HASH_SEED] = "0"
    try:
        yield
    finally:
        del os.environ[HASH_SEED]


def _start() -> None:
    """Sends prints to stderr, as stdout is for the driver's document; Ctrl-C ends this process without a traceback."""
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
