"""Climbs the ladder of one task in this process."""

from __future__ import annotations

import torch

from parity.capture import collect
from parity.ladder.judge import judge
from parity.results.check import CheckDocument
from parity.task import Task


def climb(task: Task, framework: str = "rllib-exact", full: bool = False) -> CheckDocument:
    """What ``parity check`` finds of one framework."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        capture = collect(task, framework, "cpu", full=full)
    finally:
        torch.set_num_threads(threads)
    return judge(task.id, {framework: capture})[0]


def accused(document: CheckDocument) -> list[str]:
    """Codes of errors and warnings, roots first."""
    return [finding.code for finding in document.findings if finding.severity != "info"]
