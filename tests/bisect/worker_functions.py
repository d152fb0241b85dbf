"""What worker processes of a test do; importing it loads no framework."""

from __future__ import annotations

import dataclasses
import os
import time

from parity.task.registry import TaskRef


@dataclasses.dataclass(frozen=True)
class CrashOrHang:
    what: str

    def run(self, ref: TaskRef) -> str:
        if self.what == "crash":
            os._exit(1)
        if self.what == "hang":
            time.sleep(600)
        return "done"

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> str:
        return code
