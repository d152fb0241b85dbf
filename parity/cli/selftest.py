"""``parity selftest``."""

from __future__ import annotations

from parity.cli.options import Json, Names, Out, Positive


def selftest(
    *,
    only: Names = None,
    workers: Positive = None,
    out: Out | None = None,
    json: Json = False,
) -> int:
    """Plant known bugs in a good port, and say how many the ladder catches and where; and whom it accuses wrongly.

    Parameters
    ----------
    only
        Names of planted bugs and good ports. Default: all.
    workers
        Processes side by side. Default: one per core.
    out
        Folder for selftest.json and selftest.md. Default: nothing is written.
    json
        Print one document with the score and every entry on stdout, and nothing else there.
    """
    from parity.selftest.command import run_selftest

    return run_selftest(only, workers, out, json)
