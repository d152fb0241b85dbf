"""``parity init``."""

from __future__ import annotations

from pathlib import Path

from parity.cli.options import Json


def init(folder: Path, /, *, json: Json = False) -> int:
    """Write a small masked port that runs: environment, network, RLModule, task, test and workflow, to start yours from.

    Parameters
    ----------
    folder
        A new folder, or an empty one. Nothing is ever overwritten.
    json
        Print one document with the folder, its files and the commands that come next.
    """
    import json as json_module
    import shlex

    from parity.port.scaffold import create

    files = create(folder)
    enter = [] if folder == Path() else [f"cd {shlex.quote(str(folder))}"]
    following = [*enter, "parity check", "python -m pytest", "parity run"]
    if json:
        print(json_module.dumps({"folder": str(folder), "files": files, "next": following}, indent=1))
        return 0
    print(f"Wrote {', '.join(files)} into {folder}. Next:\n")
    for command in following:
        print(f"  {command}")
    print("\nRead env.py, then port.py: their comments say what to replace.")
    return 0
