"""What ``parity bench`` was asked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from parity.system.options import DEFAULT_OUT, DEFAULT_TIMEOUT_S, AtLeastOne, Names, Options, Timeout


class BenchOptions(Options):
    """The options of ``parity bench``, with their defaults."""

    task: Names | None = None
    """Built-in id, file.py, file.py:name or package.module:name; several are measured one after the other. Default: what
    parity.toml in the current folder says, else tiles."""
    frameworks: Names = Field(default=["sb3", "rllib"])
    """Names of frameworks."""
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
    timeout: Timeout = DEFAULT_TIMEOUT_S
    """Seconds that one process may take before it is ended, with everything that it started."""
    study: str | None = None
    """Put bench.json into this study (a folder or a name under --out), where parity gate finds it."""
    name: str | None = None
    """Name of the folder for bench.json. Default: date and task."""
    out: Path = DEFAULT_OUT
    """Folder of studies."""
