"""``parity run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from parity.cli.options import Count, Json, Names, Out, Several

Requirements = Annotated[list[Literal["equivalent", "not-worse", "learns"]] | None, Several]


def run(
    *,
    task: Names = None,
    suite: str | None = None,
    frameworks: Names = None,
    seeds: Count = None,
    seed_start: Count = None,
    sequential: bool | None = None,
    looks: Names = None,
    steps: Count = None,
    device: str | None = None,
    threads: Count = None,
    address: str | None = None,
    require: Requirements = None,
    train_on_error: bool | None = None,
    name: str | None = None,
    out: Out = None,
    resume: str | None = None,
    json: Json = False,
) -> int:
    """Train every framework on a task from several seeds, compare, write the report, print the verdict.

    Parameters
    ----------
    task
        Built-in id, file.py, file.py:name or package.module:name; several make one study. Default: what parity.toml in
        the current folder says, else tiles.
    suite
        quick (about four minutes on two cores, for CI), parity (five tasks, five seeds) or full (every built-in task but
        probes): several tasks and a number of seeds under one name, instead of --task.
    frameworks
        Names of frameworks. Default: sb3 rllib.
    seeds
        Number of seeds: 0 .. N-1. Default: 3, or the suite's.
    seed_start
        First seed. Default: 0.
    sequential
        Add seeds in looks, at 3, 5, 8 and 10, and stop when the study is decided; every look is tested at an alpha that
        holds 5 % over all of them.
    looks
        Seeds at each look of a sequential study: 3 5 8 10 (the default) or 5 10.
    steps
        Environment steps of a trial. Default: the task's.
    device
        auto, cpu or cuda. Default: cpu where there is no GPU, else cuda.
    threads
        Torch threads of every trial. Default: 1.
    address
        Ray cluster to run on (auto or HOST:PORT). Default: a local Ray, ended with the study.
    require
        Exit 3 where this could not be decided.
    train_on_error
        Train even where the numbers already differ (the default), so that the curve shows what it costs.
    name
        Name of the study's folder. Default: date and task, or suite.
    out
        Folder of studies. Default: results.
    resume
        Finish this study (a folder or a name under --out) instead of starting one.
    json
        Print summary.json on stdout, and nothing else there.
    """
    from parity.cli.conclude import conclude
    from parity.errors import CannotStart
    from parity.study.command import Options, run_study

    options = {
        "task": task,
        "suite": suite,
        "frameworks": frameworks,
        "seeds": seeds,
        "seed_start": seed_start,
        "sequential": sequential,
        "looks": looks,
        "steps": steps,
        "device": device,
        "threads": threads,
        "address": address,
        "require": require,
        "train_on_error": train_on_error,
        "name": name,
        "out": Path(out) if out is not None else None,
    }
    given = {key: value for key, value in options.items() if value is not None}
    fixed = [f"--{key.replace('_', '-')}" for key in given if key not in ("address", "out")]
    if resume is not None and fixed:
        raise CannotStart(f"--resume finishes a study as it was asked for: leave out {', '.join(fixed)}.")
    return conclude(run_study(Options.resolve(given), resume), as_json=json)
