"""TensorBoard's event files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

# What is kept in memory for so long shows later; writing it waits for the disk.
FLUSH_S = 120.0


class Board:
    """Writes scalars into an event file of its own, before `add` returns.

    ``SummaryWriter`` passes each through a queue between processes and two threads, which takes several times as long.
    """

    def __init__(self, folder: Path, suffix: str = "") -> None:
        from tensorboardX.event_file_writer import EventsWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), suffix)
        self._flushed = 0.0

    def add(self, values: Mapping[str, float], step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        shown = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=Summary(value=shown)))
        now = time.monotonic()
        if now - self._flushed > FLUSH_S:
            self._writer.flush()
            self._flushed = now

    def close(self) -> None:
        self._writer.close()
