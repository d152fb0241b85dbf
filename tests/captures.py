"""Captured numbers of the selftest's ports: each port is collected once in a test run, by whichever process needs it first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from parity.capture import collect
from parity.results.capture import Capture
from parity.results.capture_file import load, save
from parity.selftest.planted import task_of
from parity.selftest.register import BUGS

Collected = Callable[..., Capture]


def shared_captures(folder: Path) -> Collected:
    """A function from a port's name in the register and a framework to its capture, which ``folder`` keeps.

    What it returns is shared by all tests of a process, so it is not to be changed.
    """

    @functools.cache
    def captured(name: str, framework: str = "rllib") -> Capture:
        path = folder / f"{name}-{framework}.zip"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                save(_collect(name, framework), path)
        # The process that collected it reads it too: all see the same.
        return load(path)

    return captured


def _collect(name: str, framework: str) -> Capture:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        capture = collect(task_of(name), framework, "cpu", full=name in BUGS and BUGS[name].full)
    finally:
        torch.set_num_threads(threads)
    assert capture is not None
    return capture
