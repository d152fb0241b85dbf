"""What worker processes of a test do; importing it loads no framework."""

from __future__ import annotations

import os
import time

from parity.bisect.verdict import Verdict
from parity.task.registry import TaskRef


def crash_or_hang(ref: TaskRef, what: str) -> Verdict:
    if what == "crash":
        os._exit(1)
    if what == "hang":
        time.sleep(600)
    return Verdict(True)
