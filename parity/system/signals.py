"""SIGTERM ends a command as Ctrl-C does: what was computed stays, and the exit code says that it was interrupted."""

from __future__ import annotations

import signal
import threading


def sigterm_as_ctrl_c() -> None:
    """Ray installs a handler of its own when it connects, which ends with a native stack trace: call this again then."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
