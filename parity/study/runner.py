"""Ray Tune schedules the trials of a study, each in a process of its own; what they leave on disk is the study."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import PlacementGroupFactory

from parity.errors import CannotStart, in_short
from parity.results import study as files
from parity.study.delivery import file_keeper, packed, reachable, unpacked
from parity.study.options import RunOptions
from parity.study.progress import (
    CRASHED,
    LAST_RETURN,
    ProgressDisplay,
    progress_writer,
    read_progress,
    remove_progress,
)
from parity.study.snapshots import own_key, read_snapshot
from parity.study.trial import TrialSpec, is_for_want_of_room, lost_trial, run_trial
from parity.system.console import say
from parity.system.ray_session import RayDied, connect
from parity.system.scratch import scratch
from parity.task.registry import TaskRef, folders_of

# Of a trial whose process or node died.
RETRIES = 2
NO_ROOM = "no room"  # in a trial's result, what the system says


def pending(study: files.StudyRecord, refs: dict[str, TaskRef], options: RunOptions) -> list[TrialSpec]:
    """The trials of a study that are not done, in the order in which they should start."""
    request, key = study.file.request, own_key()
    asked = {"CPU": options.trial_cpus, "GPU": options.trial_gpus}
    own = {resource: amount for resource, amount in asked.items() if amount is not None}
    specs = []
    for trial in study.trials:
        if trial.meta is not None and trial.meta.status == "done" and trial.damage is None:
            continue
        record = study.file.tasks[trial.task]
        config = record.frameworks[trial.framework]
        specs.append(
            TrialSpec(
                ref=refs[trial.task],
                task=trial.task,
                framework=trial.framework,
                seed=trial.seed,
                steps=record.steps,
                device=request.device,
                threads=request.threads,
                folder=str(trial.folder.resolve()),
                processes=config.processes,
                bundles=[config.bundles[0] | own, *config.bundles[1:]],
                longest_s=options.trial_timeout,
                most_memory_mb=options.trial_memory,
                key=key,
            )
        )
    # Frameworks alternate, so that each shares the machine with the other as often.
    return sorted(specs, key=lambda spec: (request.tasks.index(spec.task), spec.seed))


def cores_of(study: files.StudyRecord, options: RunOptions) -> float:
    """The cores that the largest trial of a study asks for."""
    asked = [] if options.trial_cpus is None else [options.trial_cpus]
    needs = [framework.bundles for task in study.file.tasks.values() for framework in task.frameworks.values()]
    return max(sum([*asked, *(each.get("CPU", 0.0) for each in bundles[len(asked) :])]) for bundles in needs)


def check_gpus(of_a_trial: float | None, on_cluster: bool) -> None:
    """Trials that reserve what the open Ray does not have would wait for ever; a cluster may still get it.

    Raises:
        CannotStart: they are to reserve more GPUs than this machine has.
    """
    if not of_a_trial or of_a_trial <= (there := ray.cluster_resources().get("GPU", 0.0)):
        return
    if not on_cluster:
        raise CannotStart(
            f"--trial-gpus {of_a_trial:g}: Ray finds {there:g} GPUs on this machine; leave it out, or give less."
        )
    say(f"--trial-gpus {of_a_trial:g}: the cluster has {there:g} GPUs now; trials wait until it has more")


@contextlib.contextmanager
def opened_ray(refs: Iterable[TaskRef], address: str | None = None, cores: float = 0.0) -> Iterator[str]:
    """Opens Ray for a command; yields the address at which other processes can join it.

    Args:
        refs: the tasks; Ray's processes find what their files import.
        address: of a running cluster; None starts one on this machine.
        cores: what it must offer, however few this machine has.
    """
    _quiet()
    refs = list(refs)
    with scratch():
        try:
            with tempfile.TemporaryDirectory() as packing:
                runtime_env = None if address is None else packed(refs, Path(packing))
                at = connect(address, cores, folders_of(refs), runtime_env)
            yield at
        finally:
            ray.shutdown()


def run_trials(study: files.StudyRecord, specs: list[TrialSpec], on_cluster: bool = False) -> None:
    """Runs trials to their ends on the Ray that is open. One that crashes leaves its reason and log; the others go on.

    ``on_cluster``: whether they may run where the study's folder is not seen.

    Raises:
        OSError: a disk is full; trials that could not be written are not finished.
    """
    if not specs:
        return
    by_label = {spec.label: spec for spec in specs}
    for spec in specs:  # how an earlier attempt ended says nothing of this one
        (Path(spec.folder) / files.TRIAL_FILE).unlink(missing_ok=True)
    text = (study.folder / files.STUDY_FILE).read_text("utf-8")
    keeper = file_keeper(study.folder) if on_cluster else None
    display = ProgressDisplay(specs)
    # What Tune itself writes is of no use to anybody.
    with display, tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_TuneTrial, specs=by_label, study=text, keeper=keeper),
                lambda config: PlacementGroupFactory(by_label[config["trial"]].bundles),
            ),
            param_space={"trial": tune.grid_search(list(by_label))},
            tune_config=tune.TuneConfig(
                reuse_actors=False, trial_name_creator=_trial_name, trial_dirname_creator=_trial_name
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=storage,
                verbose=0,
                callbacks=[display],
                # A trial whose port raises says so in its result: what Tune sees fail is a process or a node that died.
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own
            ),
        )
        with contextlib.redirect_stdout(sys.stderr):
            results = fit(tuner)
    for spec, result in zip(specs, results, strict=True):
        if (result.metrics or {}).get(NO_ROOM):
            raise OSError(*result.metrics[NO_ROOM])
        if not has_ended(spec):
            cause = in_short(result.error) if result.error is not None else result.metrics[CRASHED]
            lost_trial(spec, f"its process died {RETRIES + 1} times, at last so: {cause}")


def fit(tuner: tune.Tuner) -> tune.ResultGrid:
    """Tune's results.

    Raises:
        RayDied: Ray ended trials in a way for which Tune has no retry, as when the machine ran out of memory.
    """
    try:
        return tuner.fit()
    except RuntimeError as error:
        if not isinstance(error.__cause__, RayError):
            raise
        raise RayDied(f"Ray ended trials: {in_short(error.__cause__)}.") from error


def has_ended(spec: TrialSpec) -> bool:
    """Whether a trial wrote that it is done or that it crashed."""
    path = Path(spec.folder) / files.TRIAL_FILE
    return path.is_file() and files.TrialMeta.model_validate_json(path.read_text("utf-8")).status != "interrupted"


class _TuneTrial(tune.Trainable):
    """A trial in the main thread of its process, whole in one step.

    Tune runs a function in another thread, where an environment may not install a signal handler; what a trial says
    meanwhile goes through its folder, see `parity.study.progress`.
    """

    def setup(
        self, config: dict[str, Any], specs: dict[str, TrialSpec] | None = None, study: str = "", keeper: Any = None
    ) -> None:
        assert specs is not None
        self._spec, self._study, self._keeper = specs[config["trial"]], study, keeper

    def step(self) -> dict[str, Any]:
        spec = dataclasses.replace(self._spec, ref=unpacked(self._spec.ref))
        with reachable(spec, self._study, self._keeper) as (spec, bring):
            return {"done": True} | self._run(spec, bring)

    @staticmethod
    def _run(spec: TrialSpec, bring: Callable[[bool], None]) -> dict[str, Any]:
        folder = Path(spec.folder)
        if has_ended(spec):  # it wrote so, and its process died then
            return {CRASHED: "a limit was passed"}
        if read_snapshot(folder, spec.key) is None:
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted trial left there belongs to no run

        write = progress_writer(folder)

        def on_progress(steps: int, last_return: float) -> None:
            write(steps, last_return)
            bring(False)

        with _output_to(folder):
            try:
                run_trial(spec, on_progress, on_end=lambda: bring(True))
                last = read_progress(folder)
                return {} if last is None else {LAST_RETURN: last.last_return}
            except Exception as error:  # `trial.json` and the log have it
                if isinstance(error, OSError) and is_for_want_of_room(error):
                    return {CRASHED: error.strerror, NO_ROOM: (error.errno, error.strerror, error.filename)}
                return {CRASHED: in_short(error)}
            finally:
                remove_progress(folder)


@contextlib.contextmanager
def _output_to(folder: Path) -> Iterator[None]:
    """Everything that this process and its libraries print goes into the trial's log."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    with (folder / files.LOG_FILE).open("a", encoding="utf-8") as log:
        try:
            for descriptor in (1, 2):
                os.dup2(log.fileno(), descriptor)
            yield
        finally:
            for copy, descriptor in zip(saved, (1, 2), strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial"]).replace("/", "-")


def _quiet() -> None:
    """Ray's and Tune's own reports give way to the progress display."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Tune's loggers repeat what trials write themselves, and its TensorBoard logger imports torch into the driver.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
