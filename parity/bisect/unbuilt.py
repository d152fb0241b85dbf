"""Ports that raise before there is anything to take apart: which of the task's fields does it."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any

from parity.bisect.part import Anatomy
from parity.errors import one_line
from parity.frameworks.rllib.config import build_port
from parity.task import Task

# In the order of building backwards: without what comes last, what came before is still tried.
FIELDS: dict[str, dict[str, Any]] = {
    "your rllib_config": {"rllib_config": None},
    "your multi_agent_env": {"multi_agent_env": None, "learning_agent": None, "rllib_config": None},
}


def blame(task: Task, error: Exception) -> Anatomy:
    """The anatomy of a port that raised ``error`` while it was built."""
    raised = f"{type(error).__name__}: {one_line(error)}"
    text = "".join(traceback.format_exception(error))
    for label, left_out in FIELDS.items():
        if task.network is None or all(getattr(task, name) is None for name in left_out):
            continue
        try:
            build_port(dataclasses.replace(task, **left_out), seed=0, device="cpu")
        except Exception:
            # Then this field is not what raises, or not alone.
            continue
        return Anatomy(task.id, (), unbuilt=f"{label} raises {raised}; without it the port is built", traceback=text)
    return Anatomy(task.id, (), unbuilt=f"your port raises {raised} while it is built", traceback=text)
