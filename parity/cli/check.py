"""``parity check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from parity.cli.options import DEFAULT_OUT, Json, Names, Out


def check(
    *,
    task: str | None = None,
    frameworks: Names = None,
    device: str = "cpu",
    save: Path | None = None,
    load: Path | None = None,
    trace: Annotated[bool, Parameter(negative="")] = False,
    lockstep: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    full: Annotated[bool, Parameter(negative="")] = False,
    out: Out = None,
    json: Json = False,
) -> int:
    """Compare a port with SB3 number by number, without training, and name what differs.

    Parameters
    ----------
    task
        Built-in id, file.py, file.py:name or package.module:name. Default: what parity.toml in the current folder says,
        else tiles.
    frameworks
        Names of frameworks to compare with sb3. Default: rllib rllib-exact.
    device
        cpu, cuda or auto. Default: cpu, where the tolerances are tightest.
    save
        Write the collected numbers to this file, to be judged later or elsewhere.
    load
        Judge the numbers of such a file instead of running anything.
    trace
        Print one episode per agent: legal actions and their probabilities, action, reward, value, ends.
    lockstep
        Run so many whole iterations of rung 9 with SB3, as long as the task trains them. Default: three short ones.
    full
        Run one iteration through the port's own Algorithm too, on a local Ray with all its env runners and learners.
    out
        Folder of the log, where the port raised. Default: results.
    json
        Print one document with ladder and findings on stdout, and nothing else there.
    """
    from parity.cli.run_check import Request, run_check
    from parity.errors import CannotStart

    if task is None and load is None:
        from parity.study.command import Options

        configured = Options.resolve({})
        if len(configured.task) > 1:
            raise CannotStart("parity check takes one task, parity.toml names several: choose one with --task.")
        task = configured.task[0]
    return run_check(
        Request(
            task=task or "",
            frameworks=frameworks,
            device=device,
            save=save,
            load=load,
            out=Path(out if out is not None else DEFAULT_OUT),
            trace=trace,
            lockstep=lockstep,
            full=full,
            as_json=json,
        )
    )
