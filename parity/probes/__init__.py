"""Questions with closed-form answers, asked of a trained policy: what a claim is, who asks, who judges.

The probes themselves are in ``envs/probes/``, one file each, and are built-in tasks ``probe-…``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from parity.errors import CannotStart
from parity.task.registry import BUILT_IN

if TYPE_CHECKING:
    from parity.probes.claims import Probe

PREFIX = "probe-"


def names() -> list[str]:
    """Task ids of the probes, the simplest first."""
    return [name for name in BUILT_IN if name.startswith(PREFIX)]


def get(name: str) -> Probe:
    """The probe of this task id.

    Raises:
        CannotStart: there is none.
    """
    if name not in names():
        raise CannotStart(f"{name}: no such probe; there are {', '.join(names())}.")
    return importlib.import_module(BUILT_IN[name].partition(":")[0]).probe
