"""What ``parity bench`` was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import AfterValidator, Field

from parity.system.options import DEFAULT_OUT, DEFAULT_TIMEOUT_S, AtLeastOne, Names, Options, Timeout

# What can be varied; `parity.bench.variations` does it.
SWEPT = ("n_envs", "n_steps", "batch_size", "n_epochs", "env_runners", "learners", "width", "threads")


def _sweeps(texts: list[str]) -> list[str]:
    sweeps(texts)
    return texts


def sweeps(texts: list[str]) -> dict[str, list[int]]:
    """``["n_envs=8,16"]`` as ``{"n_envs": [8, 16]}``.

    Raises:
        ValueError: it is written otherwise, or the name is none of `SWEPT`.
    """
    parsed: dict[str, list[int]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name not in SWEPT or name in parsed:
            raise ValueError(f"{text}: write NAME=VALUE,VALUE,… once of each of {', '.join(SWEPT)}")
        try:
            parsed[name] = [int(value) for value in values.split(",")]
        except ValueError:
            raise ValueError(f"{text}: the values are whole numbers with commas between them") from None
        if min(parsed[name]) < (0 if name == "env_runners" else 1) or len(set(parsed[name])) < len(parsed[name]):
            raise ValueError(f"{text}: the values are above 0, each once")
    return parsed


Sweep = Annotated[list[str], AfterValidator(_sweeps)]


class BenchOptions(Options):
    """The options of ``parity bench``, with their defaults."""

    task: Names | None = None
    """Built-in id, file.py, file.py:name or package.module:name; several are measured one after the other. Default: what
    parity.toml in the current folder says, else tiles."""
    frameworks: Names = Field(default=["sb3", "rllib"])
    """Names of frameworks; rllib:stock is rllib by RLlib's own classes and defaults, rllib:tuned by its own classes and the
    fastest options."""
    rounds: AtLeastOne = 6
    """Processes of each framework. Fewer than 6 cannot say whether one is slower."""
    iterations: AtLeastOne = 4
    """Iterations of rollout and update that are timed in each process."""
    warmup: AtLeastOne = 1
    """Iterations before them that are not timed."""
    device: str = "auto"
    """auto, cpu or cuda."""
    threads: AtLeastOne = 1
    """Torch threads of every process."""
    details: Annotated[bool, Parameter(negative="--no-details")] = True
    """Whether to measure, beside the rounds, phases and an evaluation, the limit of the task, and each part of the port that
    RLlib has a standard one for, exchanged."""
    sweep: Sweep = Field(default=[])
    """NAME=VALUE,VALUE,…: also measure the cost at other values of n_envs, n_steps, batch_size, n_epochs, env_runners,
    learners, width or threads; several may be given."""
    at: Sweep = Field(default=[])
    """NAME=VALUE: measure everything at this value of one of them; several may be given."""
    timeout: Timeout = DEFAULT_TIMEOUT_S
    """Seconds that one process may take before it is ended, with everything that it started."""
    study: str | None = None
    """Put bench.json into this study (a folder or a name under --out), where parity gate finds it."""
    name: str | None = None
    """Name of the folder for bench.json. Default: date and task."""
    out: Path = DEFAULT_OUT
    """Folder of studies."""
