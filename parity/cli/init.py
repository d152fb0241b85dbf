"""``parity init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import Json
from parity.study.options import NetworkName


def init(
    folder: Path,
    /,
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    network: NetworkName = "mlp",
    env_kwargs: list[str] | None = None,
    json: Json = False,
) -> int:
    """Write a small masked port that runs: environment, network, RLModule, task, test and workflow, to start yours from.

    Parameters
    ----------
    folder
        A new folder, or an empty one. Nothing is ever overwritten.
    from_
        Id of a gymnasium environment, Env-v0 or module:Env-v0: write the task that `parity run --env` makes of it, and no more.
    network
        Its built-in network.
    env_kwargs
        Its arguments, each name:value.
    json
        Print one document with the folder, its files and the commands that come next.
    """
    import json as json_module
    import shlex

    from parity.errors import printable
    from parity.port.scaffold import create, create_from_env

    files = create(folder) if from_ is None else create_from_env(folder, from_, network, env_kwargs or ())
    enter = [] if folder == Path() else [f"cd {shlex.quote(str(folder))}"]
    tested = ["python -m pytest"] if from_ is None else []
    following = [*enter, "parity check", *tested, "parity run"]
    if json:
        print(json_module.dumps({"folder": str(folder), "files": files, "next": following}, indent=1))
        return 0
    print(printable(f"Wrote {', '.join(files)} into {folder}. Next:") + "\n")
    for command in following:
        print(printable(f"  {command}"))
    if from_ is None:
        print("\nRead env.py, then port.py: their comments say what to replace.")
    return 0
