"""``parity watch``."""

from __future__ import annotations

from pathlib import Path

from parity.cli.options import Json


def watch(folder: Path, /, *, json: Json = False) -> int:
    """Say what parity.watch saw of a training: when each finding began and ended, and which came first.

    Exit code 1: an error was seen.

    Parameters
    ----------
    folder
        A training's folder, or one above it: every watch.jsonl below is read.
    json
        Print a list of trainings with their events on stdout.
    """
    import json as json_module
    import sys

    from parity.errors import CannotStart, ExitCode
    from parity.results.watch import WATCH_FILE, read_events

    paths = [folder] if folder.is_file() else sorted(folder.rglob(WATCH_FILE))
    if not paths:
        raise CannotStart(f"{folder} has no {WATCH_FILE}: train with parity.watch(config) or parity.WatchCallback().")
    trainings = {path: read_events(path) for path in paths}
    errors = False
    for path, events in trainings.items():
        errors |= any(each.event == "begin" and each.severity == "error" for each in events)
        if not json:
            print(path.parent)
            told = [each for each in events if each.event != "start"]
            for each in told:
                print(f"  {each.sentence.removeprefix('parity.watch: ')}")
            if not told:
                print("  nothing to tell")
    if json:
        shown = [
            {"folder": str(path.parent), "events": [each.model_dump(mode="json") for each in events]}
            for path, events in trainings.items()
        ]
        json_module.dump(shown, sys.stdout, indent=1)
        print()
    return ExitCode.DOES_NOT_HOLD if errors else ExitCode.HOLDS
