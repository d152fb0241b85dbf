"""Captured numbers of the selftest's ports: each port is collected once in a test run, by whichever process needs it first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from parity.capture import collect
from parity.results.capture import Numbers
from parity.selftest.planted import task_of

Collected = Callable[..., Numbers]


def shared_captures(folder: Path) -> Collected:
    """A function from a port's name in the register and a framework to its numbers, which ``folder`` keeps.

    What it returns is shared by all tests of a process, so it is not to be changed.
    """

    @functools.cache
    def captured(name: str, framework: str = "rllib") -> Numbers:
        path = folder / f"{name}-{framework}.zip"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _collect(name, framework).save(path)
        # The process that collected them reads them too: all see the same.
        return Numbers.load(path)

    return captured


def _collect(name: str, framework: str) -> Numbers:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        numbers = collect(task_of(name), framework, "cpu")
    finally:
        torch.set_num_threads(threads)
    assert numbers is not None
    return numbers
