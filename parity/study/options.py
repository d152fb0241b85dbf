"""What ``parity run`` was asked: its options, from the command line and from ``parity.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import Field, ValidationError

from parity.errors import CannotStart
from parity.results.reading import read_text
from parity.system.options import DEFAULT_OUT, DEFAULT_TIMEOUT_S, AtLeastOne, Names, Options, Timeout, complaint
from parity.task import suites
from parity.task.registry import DEFAULT_TASK

CONFIG_FILE = "parity.toml"
SB3 = "sb3"

NetworkName = Literal["mlp", "cnn"]
Tracker = Literal["wandb", "mlflow"]
Requirement = Literal["equivalent", "not-worse", "learns"]


class RunOptions(Options):
    """The options of ``parity run``, with their defaults."""

    task: Annotated[list[str], Parameter(show_default=False)] = Field(default=[DEFAULT_TASK], min_length=1)
    """Built-in id, file.py, file.py:name or package.module:name; several make one study. Default: what parity.toml in the
    current folder says, else tiles."""
    suite: str | None = None
    """quick (about four minutes on two cores, for CI), parity (five tasks, five seeds) or full (every built-in task but
    probes): several tasks and a number of seeds under one name, instead of --task."""
    env: str | None = None
    """Id of a gymnasium environment, Env-v0 or module:Env-v0, instead of --task: with a built-in network and PPO's defaults.
    The task file that it amounts to is written to env-tasks under --out; parity init --from writes it to start yours from."""
    network: NetworkName = "mlp"
    """The built-in network of --env."""
    env_kwargs: list[str] = Field(default=[])
    """Arguments of --env, each name:value."""
    frameworks: Names = Field(default=[SB3, "rllib"])
    """Names of frameworks."""
    seeds: Annotated[AtLeastOne, Field(le=1000), Parameter(show_default=False)] = 3
    """Number of seeds: 0 .. N-1. Default: 3, or the suite's."""
    seed_start: Annotated[int, Field(ge=0, le=2**31)] = 0
    """First seed."""
    sequential: Annotated[bool | None, Parameter(negative="--no-sequential")] = None
    """Add seeds in looks (interim analyses), at 3, 5, 8 and 10, and stop when the study is decided; every look is tested at
    an alpha that holds 5 % over all of them."""
    looks: list[int] | None = None
    """Seeds at each look of a sequential study: 3 5 8 10 (the default) or 5 10."""
    steps: AtLeastOne | None = None
    """Environment steps of a trial. Default: the task's."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto is cuda where there is a GPU, else cpu."""
    threads: AtLeastOne = 1
    """Torch threads of every trial."""
    address: str | None = None
    """Ray cluster to run the trials on (auto or HOST:PORT). Default: what RAY_ADDRESS says, else a local Ray of its own, beside
    whatever runs on this machine, and ended with the study."""
    require: list[Requirement] = Field(default=[])
    """Exit 3 where this could not be decided."""
    train_on_error: Annotated[bool, Parameter(negative="--no-train-on-error")] = True
    """Train even where the numbers already differ, so that the curve shows what it costs."""
    timeout: Timeout = DEFAULT_TIMEOUT_S
    """Seconds that the look at a task before training may take before it is ended, with everything that it started."""
    trial_cpus: Annotated[float | None, Field(ge=0)] = None
    """Cores that a trial's process reserves of Ray's, also a part of one. Default: what its framework asks for, mostly 1."""
    trial_gpus: Annotated[float | None, Field(ge=0)] = None
    """GPUs that a trial's process reserves, also a part of one: 0.25 lets four share it. Default: what its framework asks
    for."""
    trial_timeout: Timeout = 86_400.0
    """Seconds that a trial may take before it is ended and counts as crashed, unless it goes on after an interruption."""
    trial_memory: Annotated[float | None, Field(gt=0)] = None
    """MiB of memory that a trial's process may use before it is ended and counts as crashed. Default: what there is; when 95 %
    of it are used, Ray ends the trial that began last, and it is tried again."""
    track: Tracker | None = None
    """wandb or mlflow: trials become runs there as they end, by its own library and settings (WANDB_MODE=offline,
    MLFLOW_TRACKING_URI). What cannot be sent is said, and costs the study nothing."""
    name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = None
    """Name of the study's folder. Default: date and task, or suite."""
    out: Path = DEFAULT_OUT
    """Folder of studies, also on any storage that pyarrow writes to: s3://BUCKET/FOLDER, gs://..., file:///..."""

    def resolved(self) -> RunOptions:
        """These options and, where neither task nor suite is given, those of ``parity.toml`` that are not.

        A suite's tasks and number of seeds stand in ``task`` and ``seeds`` of the result. ``looks`` are the seeds at each
        interim analysis, the last of which is ``seeds``; None where the study is not sequential.

        Raises:
            CannotStart: an unknown option or a bad value, with where it stands.
        """
        given = self.model_dump(exclude_unset=True)
        stored = {} if {"task", "suite", "env"} & given.keys() else _config_file()
        if {"sequential", "looks"} & given.keys() and "seeds" not in given:
            stored.pop("seeds", None)  # asked for without looks; the last look says how many there are
        asked = stored | given
        places = {name: f"--{name}" if name in given else f"{CONFIG_FILE}, {name}" for name in asked}
        try:
            options = RunOptions.model_validate(_with_suite(asked, places))
        except ValidationError as error:
            raise CannotStart(f"{CONFIG_FILE}, {complaint(error, RunOptions)}.") from error
        return options.model_copy(update=_interim_analyses(options, places) | _task_of_env(options, places))


def _config_file() -> dict[str, Any]:
    path = Path(CONFIG_FILE)
    if not path.is_file():
        return {}
    try:
        stored = {key.replace("-", "_"): value for key, value in tomllib.loads(read_text(path)).items()}
    except (ValueError, OSError) as error:
        raise CannotStart(f"{CONFIG_FILE}: {error}.") from error
    one_or_several = ("task", "frameworks", "require", "env_kwargs")
    return {
        key: [value] if key in one_or_several and isinstance(value, str) else value for key, value in stored.items()
    }


def _with_suite(asked: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    if "suite" not in asked:
        return asked
    suite = suites.find(asked["suite"], places["suite"])
    if "task" in asked:
        raise CannotStart(f"{places['suite']} {suite.name} names its tasks by itself: leave out {places['task']}.")
    return {"seeds": suite.seeds} | asked | {"task": list(suite.tasks)}


def _task_of_env(options: RunOptions, places: dict[str, str]) -> dict[str, Any]:
    if options.env is None:
        if alone := next((places[name] for name in ("network", "env_kwargs") if name in places), None):
            raise CannotStart(f"{alone.replace('_', '-')} belongs to --env: a task has its own.")
        return {}
    if other := next((places[name] for name in ("task", "suite") if name in places), None):
        raise CannotStart(f"{places['env']} {options.env} is a task by itself: leave out {other}.")
    from parity.port.env_task import write_task_file

    return {"task": [str(write_task_file(options.env, options.network, options.env_kwargs, options.out))]}


def _interim_analyses(options: RunOptions, places: dict[str, str]) -> dict[str, Any]:
    """``looks`` and ``seeds`` of a study; ``places``: option -> where it was asked for, as a message names it."""
    if options.sequential is False or not (options.sequential or options.looks):
        return {"looks": None}
    from parity.verdict.sequential import ALPHA_PER_ANALYSIS, DEFAULT_LOOKS

    looks = tuple(options.looks or DEFAULT_LOOKS)
    known = " or ".join(f"--looks {' '.join(map(str, plan))}" for plan in ALPHA_PER_ANALYSIS)
    if looks not in ALPHA_PER_ANALYSIS:
        raise CannotStart(
            f"{places['looks']} {' '.join(map(str, looks))}: no alpha is known for these looks; choose {known}."
        )
    if "seeds" in places and options.seeds != looks[-1]:
        raise CannotStart(
            f"{places['seeds']} {options.seeds}: a sequential study ends at the last of its looks, "
            f"{looks[-1]} seeds; leave it out, or choose {known}."
        )
    if SB3 not in options.frameworks or len(options.frameworks) < 2:
        raise CannotStart(
            f"{places['sequential' if options.sequential else 'looks']}: a sequential study stops when a port is compared "
            f"with {SB3}: name both under --frameworks."
        )
    return {"looks": list(looks), "seeds": looks[-1]}
