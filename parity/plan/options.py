"""What ``parity plan`` was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from parity.system.options import DEFAULT_OUT, Names, Options

# Above it a simulation takes seconds, and nobody trains so many.
MOST_SIMULATED = 60


class PlanOptions(Options):
    """The options of ``parity plan``; None where they are left out."""

    margin: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Of equivalence, in normalised score, between 0 and 1. Default: 0.15, or that of the study's tasks."""
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Probability that a port that does not differ is called EQUIVALENT."""
    sd: Annotated[float | None, Field(gt=0, lt=10)] = None
    """Standard deviation of a run's normalised score. Default: what is measured of the tasks, else 0.14, which is
    assumed."""
    study: Annotated[str | None, Parameter(name="--from")] = None
    """Take deviations and times from the runs of this study."""
    task: Annotated[Names | None, Parameter(name=("--task", "--tasks"))] = None
    """Plan for these tasks, together and each alone. Default: for 1, 2, 4 and 6 tasks that are not named."""
    suite: str | None = None
    """Plan for the tasks of quick, parity or full, and for its number of seeds."""
    frameworks: Names | None = None
    """Names of frameworks. Default: the study's, else sb3 rllib."""
    seeds: Annotated[int | None, Field(ge=2, le=MOST_SIMULATED)] = None
    """Also say what this number of seeds can decide, from 2 to 60."""
    out: Path = DEFAULT_OUT
    """Folder of studies."""
