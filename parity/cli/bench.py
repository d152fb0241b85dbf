"""``parity bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from parity.cli.options import DEFAULT_OUT, Json, Names, Out

AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def bench(
    *,
    task: Names = None,
    frameworks: Names = None,
    rounds: AtLeastOne = 6,
    iterations: AtLeastOne = 4,
    warmup: AtLeastOne = 1,
    device: str = "auto",
    threads: AtLeastOne = 1,
    study: str | None = None,
    name: str | None = None,
    out: Out = None,
    resume: str | None = None,
    json: Json = False,
) -> int:
    """Measure throughput: the frameworks train by turns, each time in a fresh process, on a machine that does nothing else.

    Parameters
    ----------
    task
        Built-in id, file.py, file.py:name or package.module:name; several are measured one after the other. Default: what
        parity.toml in the current folder says, else tiles.
    frameworks
        Names of frameworks. Default: sb3 rllib.
    rounds
        Processes of each framework. Fewer than 6 cannot say whether one is slower.
    iterations
        Iterations of rollout and update that are timed in each.
    warmup
        Iterations before them that are not.
    device
        auto, cpu or cuda.
    threads
        Torch threads of every process.
    study
        Put bench.json into this study (a folder or a name under --out), where parity gate finds it.
    name
        Name of the folder for bench.json. Default: date and task.
    out
        Folder of studies. Default: results.
    resume
        Finish what was interrupted in this folder instead.
    json
        Print bench.json on stdout, and nothing else there.
    """
    from parity.bench.command import Options, run_bench
    from parity.errors import CannotStart

    if study is not None and name is not None:
        raise CannotStart(f"--name {name}: bench.json goes into --study {study}; leave one of them out.")
    if task is None and resume is None:
        from parity.study.command import Options as Configured

        task = Configured.resolve({}).task
    return run_bench(
        Options(
            task=task or [],
            frameworks=frameworks or ["sb3", "rllib"],
            rounds=rounds,
            iterations=iterations,
            warmup=warmup,
            device=device,
            threads=threads,
            study=study,
            name=name,
            out=Path(out or DEFAULT_OUT),
        ),
        resume,
        as_json=json,
    )
