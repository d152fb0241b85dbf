"""Numbers of the ports, each collected once."""

from __future__ import annotations

import functools

import pytest
import torch
from ladder_ports import BROKEN, GOOD, Collected

from parity.capture import collect
from parity.results.capture import Numbers


@functools.cache
def _collect(name: str, framework: str) -> Numbers:
    task = GOOD[name] if name in GOOD else BROKEN[name][0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        numbers = collect(task, framework, "cpu")
    finally:
        torch.set_num_threads(threads)
    assert numbers is not None
    return numbers


@pytest.fixture(scope="session")
def collected() -> Collected:
    """A port's numbers, by its name in `ports` and the framework's; shared, so not to be changed."""
    return _collect
