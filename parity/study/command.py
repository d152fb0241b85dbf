"""``parity run`` from options to exit code: inspect, store what was asked, run the trials, judge, report."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parity import __version__, frameworks
from parity.errors import CannotStart, Interrupted, one_line
from parity.results import study as files
from parity.system import machine
from parity.system.console import say
from parity.task import registry as tasks
from parity.task import suites

CONFIG_FILE = "parity.toml"


class Options(BaseModel):
    """The options of ``parity run``, from the command line or from ``parity.toml``, with their defaults."""

    model_config = ConfigDict(extra="forbid")

    task: list[str] = Field([tasks.DEFAULT_TASK], min_length=1)
    suite: str | None = None
    frameworks: list[str] = Field(["sb3", "rllib"], min_length=1)
    seeds: int = Field(3, ge=1)
    seed_start: int = Field(0, ge=0)
    sequential: bool | None = None
    looks: list[int] | None = None
    steps: int | None = Field(None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1)
    address: str | None = None
    require: list[Literal["equivalent", "not-worse", "learns"]] = []
    train_on_error: bool = True
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    out: Path = Path("results")

    @classmethod
    def resolve(cls, given: dict[str, Any]) -> Options:
        """``given``: what the command line says; without a task or suite there, ``parity.toml`` fills what it leaves open.

        A suite's tasks and number of seeds stand in ``task`` and ``seeds`` of the result; where seeds are added in looks,
        ``looks`` has them and ``seeds`` the last.

        Raises:
            CannotStart: an unknown option or a bad value, with where it stands.
        """
        config = Path(CONFIG_FILE)
        stored: dict[str, Any] = {}
        if not {"task", "suite"} & given.keys() and config.is_file():
            try:
                stored = {key.replace("-", "_"): value for key, value in tomllib.loads(config.read_text()).items()}
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise CannotStart(f"{CONFIG_FILE}: {error}.") from error
            for several in ("task", "frameworks", "require"):
                if isinstance(stored.get(several), str):
                    stored[several] = [stored[several]]
        try:
            if {"sequential", "looks"} & given.keys() and "seeds" not in given:
                stored.pop("seeds", None)  # asked for without looks; the last look says how many there are
            whole = stored | given
            options = cls.model_validate(_of_suite(whole, "--" if "suite" in given else f"{CONFIG_FILE}, "))
        except ValidationError as error:
            first: Any = error.errors()[0]
            option = str(first["loc"][0])
            where = f"--{option.replace('_', '-')}" if option in given else f"{CONFIG_FILE}, {option}"
            raise CannotStart(f"{where}{_complaint(first)}.") from error
        looks = _in_looks(options, {name: "--" if name in given else f"{CONFIG_FILE}, " for name in whole})
        return options.model_copy(update=looks)


def _of_suite(options: dict[str, Any], prefix: str) -> dict[str, Any]:
    if "suite" not in options:
        return options
    suite = suites.find(options["suite"], f"{prefix}suite")
    if "task" in options:
        raise CannotStart(f"{prefix}suite {suite.name} names its tasks by itself: leave out {prefix}task.")
    return {"seeds": suite.seeds} | options | {"task": list(suite.tasks)}


def _in_looks(options: Options, where: dict[str, str]) -> dict[str, Any]:
    """What ``looks`` and ``seeds`` are: no looks where the study is not sequential. ``where``: option -> before its name."""
    if options.sequential is False or not (options.sequential or options.looks):
        return {"looks": None}
    from parity.verdict.sequential import ALPHA_PER_LOOK, DEFAULT_LOOKS

    looks = tuple(options.looks or DEFAULT_LOOKS)
    known = " or ".join(f"--looks {' '.join(map(str, plan))}" for plan in ALPHA_PER_LOOK)
    if looks not in ALPHA_PER_LOOK:
        raise CannotStart(
            f"{where['looks']}looks {' '.join(map(str, looks))}: no alpha is known for these looks; choose {known}."
        )
    if "seeds" in where and options.seeds != looks[-1]:
        raise CannotStart(
            f"{where['seeds']}seeds {options.seeds}: a sequential study ends at the last of its looks, "
            f"{looks[-1]} seeds; leave it out, or choose {known}."
        )
    if frameworks.REFERENCE not in options.frameworks or len(options.frameworks) < 2:
        option = "sequential" if options.sequential else "looks"
        raise CannotStart(
            f"{where[option]}{option}: a sequential study stops when a port is compared with "
            f"{frameworks.REFERENCE}: name both under --frameworks."
        )
    return {"looks": list(looks), "seeds": looks[-1]}


def _complaint(error: dict[str, Any]) -> str:
    match error["type"]:
        case "extra_forbidden":
            known = ", ".join(name.replace("_", "-") for name in Options.model_fields)
            return f": no such option; there are {known}"
        case "too_short":
            return ": name at least one"
        case "string_pattern_mismatch":
            return f' {error["input"]}: use letters, digits and ". _ -", a letter or digit first'
    return f" {error['input']}: {error['msg'][0].lower()}{error['msg'][1:]}"


def run_study(options: Options, resume: str | None) -> Path:
    """Runs or finishes a study. Returns its folder.

    Raises:
        CannotStart: bad input, before anything was computed.
        Interrupted: Ctrl-C; what is done stays, and ``--resume`` finishes the rest.
    """
    _check_scheduler(options.address)
    folder, refs = _resume(options, resume) if resume is not None else _create(options)
    try:
        _climb_and_train(folder, refs, options)
    except Interrupted as error:
        raise Interrupted(f"{error}; finish with: parity run --resume {folder}") from error
    except CannotStart:
        if resume is None and not (folder / files.TRIALS).exists():
            shutil.rmtree(folder)  # it would be the newest study, and empty
        raise
    return folder


def _climb_and_train(folder: Path, refs: dict[str, tasks.TaskRef], options: Options) -> None:
    from parity.results.ladder import LADDER_FILE
    from parity.study.ladder import climb_study
    from parity.study.looks import add_look
    from parity.study.runner import cores_of, opened_ray, pending, run_trials

    study = files.load_study(folder)
    waiting, climbed = pending(study, refs), (folder / LADDER_FILE).is_file()
    if climbed and not waiting and not add_look(folder):
        return
    with opened_ray(refs.values(), options.address, cores_of(study)) as address:
        if not climbed:
            say("Comparing numbers before training")
            if not climb_study(folder, refs, study.file.request.frameworks, address):
                say(
                    "The numbers differ; `parity check` says where"
                    + (", training shows what it costs" if options.train_on_error else "")
                )
                if not options.train_on_error:
                    return
        more = True
        while more:
            study = files.load_study(folder)
            say(f"Study {folder}: {len(study.trials)} trials of {', '.join(study.file.request.tasks)}")
            run_trials(study, pending(study, refs))
            more = add_look(folder)


def _create(options: Options) -> tuple[Path, dict[str, tasks.TaskRef]]:
    refs = [tasks.resolve(text) for text in options.task]
    frameworks.check_names(options.frameworks)
    if len(set(options.frameworks)) != len(options.frameworks):
        raise CannotStart(f"--frameworks {' '.join(options.frameworks)}: a name stands twice.")
    _check_writable(options.out)
    answer = _inspect(refs, options.frameworks, options.steps, options.device, options.threads)
    created = files.now()
    name = options.name or files.free_name(
        options.out, f"{created[:10]}-{options.suite or '-'.join(answer.tasks)}"[:80]
    )
    folder = options.out / name
    if (folder / files.STUDY_FILE).exists():
        raise CannotStart(f"--name {name}: there is such a study already; choose another name, or --resume {name}.")
    record = files.StudyFile(
        study=name,
        created=created,
        command=_command(),
        request=files.Request(
            tasks=list(answer.tasks),
            frameworks=options.frameworks,
            seeds=list(range(options.seed_start, options.seed_start + (options.looks or [options.seeds])[0])),
            steps=options.steps,
            device=answer.device,
            threads=options.threads,
            require=list(options.require),
            task_arguments=options.task,
            suite=options.suite,
            looks=options.looks or [],
        ),
        tasks=answer.tasks,
        versions={"parity": __version__, **answer.versions},
        machine=machine.describe(answer.gpu),
        git=machine.git_state(Path.cwd()),
    )
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / files.STUDY_FILE)
    return folder, dict(zip(answer.tasks, refs, strict=True))


def _resume(options: Options, name: str) -> tuple[Path, dict[str, tasks.TaskRef]]:
    """The study as it was asked for; the command line may only change where it runs."""
    folder = files.find_study(name, options.out)
    record = files.load_study(folder).file
    refs = [tasks.resolve(text) for text in record.request.task_arguments]
    request = record.request
    answer = _inspect(refs, request.frameworks, request.steps, request.device, request.threads)
    if list(answer.tasks) != request.tasks:
        raise CannotStart(f"--resume {name}: the task files now define {', '.join(answer.tasks)}; start a new study.")
    for task, then in record.tasks.items():
        now = answer.tasks[task]
        for field in ("ppo", "steps", "eval_every", "eval_episodes"):
            if getattr(now, field) != getattr(then, field):
                raise CannotStart(f"--resume {name}: task {task} has changed its {field} since; start a new study.")
    return folder, dict(zip(answer.tasks, refs, strict=True))


def _inspect(refs: list[tasks.TaskRef], names: list[str], steps: int | None, device: str, threads: int) -> Any:
    from parity.study.preflight import Question, inspect

    say("Looking at the task and the frameworks")
    return inspect(Question(refs, names, steps, device, threads))


def _check_scheduler(address: str | None) -> None:
    """Before a minute is spent on the rest; Ray itself would look for a cluster that is not there for another."""
    try:
        found = importlib.util.find_spec("ray")
    except ImportError:
        found = None
    if found is None:
        raise CannotStart("parity run schedules its trials with Ray, which is not installed: pip install 'ray[tune]'.")
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise CannotStart(f"--address {address}: nothing answers there ({one_line(error)}).") from error


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".parity-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CannotStart(f"--out {out}: cannot write there ({error.strerror}); choose another folder.") from error


def _command() -> str:
    return shlex.join(["parity", *sys.argv[1:]])
