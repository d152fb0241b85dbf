"""``parity run``: stores what was asked, compares numbers, runs the trials. Judging follows in `parity.cli.conclude`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from parity.errors import REFUSED_BY_THE_SYSTEM, CannotStart, Interrupted, in_words
from parity.results import study as files
from parity.results.ladder import has_own_ladder
from parity.study.options import RunOptions
from parity.study.preflight import Preflight, check_scheduler, inspect
from parity.study.tracking import check_tracker, tracking
from parity.system import machine
from parity.system.console import say
from parity.system.ray_process import run_with_ray
from parity.system.ray_session import ended_with_ray
from parity.task.registry import TaskRef, resolve

# Held by the process that runs a study.
LOCK_FILE = ".lock"


def run_study(options: RunOptions, resume: str | None) -> Path:
    """Runs a study, or finishes the one called ``resume``. Returns its folder.

    Raises:
        CannotStart: bad input, before anything was computed.
        Interrupted: Ctrl-C; what is done stays, and ``--resume`` finishes the rest.
    """
    if options.address is None and (cluster := os.environ.get("RAY_ADDRESS")):
        options = options.model_copy(update={"address": cluster})
    check_scheduler(options.address)
    check_tracker(options.track)
    try:
        folder, refs = _resume(options, resume) if resume is not None else _create(options)
    except KeyboardInterrupt:
        raise Interrupted("nothing was computed yet; go on with the same command") from None
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    about = f"Study {folder}"
    try:
        with lock, tracking(folder, options.track):
            run_with_ray(_compare_and_train, folder, refs, options, about=about, unfinished=lambda: _unfinished(folder))
    except Timeout as error:
        raise CannotStart(f"{folder}: another process runs this study; wait for its end, or end it.") from error
    except (Interrupted, KeyboardInterrupt, OSError) as error:
        if isinstance(error, OSError) and error.errno not in REFUSED_BY_THE_SYSTEM:
            raise
        what = error if isinstance(error, Interrupted) else _unfinished(folder)
        if isinstance(error, OSError):  # as where a disk is full
            what = f"{error.filename}: {error.strerror}; {what}"
        raise Interrupted(f"{what}; finish with: parity run --resume {shlex.quote(str(folder))}") from error
    except CannotStart:
        if resume is None and not (folder / files.TRIALS).exists():
            shutil.rmtree(folder)  # it would be the newest study, and empty
        raise
    return folder


def _create(options: RunOptions) -> tuple[Path, dict[str, TaskRef]]:
    preflight = inspect(
        options.task, options.frameworks, options.steps, options.device, options.threads, options.timeout, options.out
    )
    created = files.now()
    default = f"{created[:10]}-{options.suite or '-'.join(preflight.tasks)}"
    name = options.name or files.free_name(options.out, default[:80])
    folder = options.out / name
    if (folder / files.STUDY_FILE).exists():
        raise CannotStart(f"--name {name}: there is such a study already; choose another name, or --resume {name}.")
    folder.mkdir(parents=True, exist_ok=True)
    files.StudyFile(
        study=name,
        created=created,
        command=shlex.join(["parity", *sys.argv[1:]]),
        request=_request(options, preflight),
        tasks=preflight.tasks,
        versions=preflight.versions,
        machine=preflight.machine,
        git=files.GitState.model_validate(state) if (state := machine.git_state(Path.cwd())) else None,
    ).write(folder / files.STUDY_FILE)
    return folder, preflight.refs


def _request(options: RunOptions, preflight: Preflight) -> files.Request:
    looks = options.looks or []
    first = options.seed_start
    return files.Request(
        tasks=list(preflight.tasks),
        # A sequential study begins with the seeds of its first interim analysis.
        seeds=list(range(first, first + (looks[0] if looks else options.seeds))),
        device=preflight.device,
        task_arguments=options.task,
        looks=looks,
        **options.model_dump(include={"frameworks", "steps", "threads", "require", "suite"}),
    )


def _resume(options: RunOptions, name: str) -> tuple[Path, dict[str, TaskRef]]:
    """The study as it was asked for; the command line may only change where it runs."""
    folder = files.find_study(name, options.out)
    record = files.load_study(folder).file
    request = record.request
    code = [ref.location for ref in map(resolve, request.task_arguments) if ref.folder is not None]
    if code:
        say(f"{folder / files.STUDY_FILE} names {in_words(code)}, which is run now")
    preflight = inspect(
        request.task_arguments, request.frameworks, request.steps, request.device, request.threads, options.timeout
    )
    if list(preflight.tasks) != request.tasks:
        raise CannotStart(
            f"--resume {name}: the task files now define {', '.join(preflight.tasks)}; start a new study."
        )
    for task, then in record.tasks.items():
        for field in ("ppo", "steps", "eval_every", "eval_episodes"):
            if getattr(preflight.tasks[task], field) != getattr(then, field):
                raise CannotStart(f"--resume {name}: task {task} has changed its {field} since; start a new study.")
    return folder, preflight.refs


def _unfinished(folder: Path) -> str:
    study = files.load_study(folder)
    ended = sum(trial.meta is not None and trial.meta.status != "interrupted" for trial in study.trials)
    return f"{len(study.trials) - ended} of {len(study.trials)} trials are not finished"


def _compare_and_train(folder: Path, refs: dict[str, TaskRef], options: RunOptions) -> None:
    from parity.study.interim import add_seeds
    from parity.study.ladder import add_callback_changes, run_ladder
    from parity.study.runner import check_gpus, cores_of, opened_ray, pending, run_trials

    study = files.load_study(folder)
    compared = has_own_ladder(folder, study.file.ladder_digest)
    if compared and not pending(study, refs, options) and not add_seeds(folder):
        return
    on_cluster = options.address is not None
    with opened_ray(refs.values(), options.address, cores_of(study, options)) as address, ended_with_ray():
        check_gpus(options.trial_gpus, on_cluster)
        if not compared:
            say("Comparing numbers before training")
            # On this machine: what is compared needs no other, and no other has its files.
            own_ray = None if on_cluster else address
            if not run_ladder(folder, refs, study.file.request.frameworks, own_ray, options.timeout):
                price = ", training shows what it costs" if options.train_on_error else ""
                say(f"The numbers differ; `parity check` says where{price}")
                if not options.train_on_error:
                    return
        goes_on = True
        while goes_on:
            study = files.load_study(folder)
            say(f"Study {folder}: {len(study.trials)} trials of {', '.join(study.file.request.tasks)}")
            run_trials(study, pending(study, refs, options), on_cluster)
            add_callback_changes(folder)
            goes_on = add_seeds(folder)
