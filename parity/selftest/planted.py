"""The register's entries as tasks by name, for every command: ``--task parity.selftest.planted:reward_scaled``.

Two bugs at once: ``values_squashed__and__reward_scaled``; the later one must leave alone what the earlier one changes.
"""

from __future__ import annotations

import functools
from typing import Any

from parity.selftest.good import good_port
from parity.selftest.register import BUGS, GOOD_PORTS, load
from parity.task import Task


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return task_of(name.replace("_", "-"))
    except KeyError as error:
        raise AttributeError(f"there is no planted bug or good port {error.args[0]}") from error


@functools.cache
def task_of(name: str) -> Task:
    """The good port of this name, or the port that bugs are planted in with the bug, or the two bugs, of this name.

    Raises:
        KeyError: the register has no such entry.
    """
    load()
    if name in GOOD_PORTS:
        return GOOD_PORTS[name].make()
    task = good_port()
    for bug in name.split("--and--"):
        task = BUGS[bug].plant(task)
    return task
