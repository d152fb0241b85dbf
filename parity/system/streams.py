"""Standard streams that are closed, or that nobody reads to the end, cost neither a result nor an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


def keep_streams() -> None:
    """From now on writing to stdout and stderr raises nothing where nobody reads it, as behind ``| head -1``.

    A process may have been started with some of them closed: the first file that it opens would then be taken for one.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout, sys.stderr = _kept(sys.stdout, 1), _kept(sys.stderr, 2)


def _kept(stream: TextIO | None, descriptor: int) -> TextIO:
    try:
        is_plain = stream is None or stream.fileno() == descriptor
    except (OSError, ValueError):  # no file, as under a test runner
        is_plain = False
    if stream is not None and not is_plain:
        return stream
    buffer = io.BufferedWriter(_Patient(descriptor, "w", closefd=False))
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    stream.flush()
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Patient(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes
