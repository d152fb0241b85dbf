"""Ray Tune schedules the trials of a study, each in a process of its own; what they leave on disk is the study."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import PlacementGroupFactory

from parity.errors import in_short
from parity.results import study as files
from parity.study.options import RunOptions
from parity.study.progress import CRASHED, ProgressDisplay, remove_progress, write_progress
from parity.study.snapshots import own_key, read_snapshot
from parity.study.trial import TrialSpec, lost_trial, run_trial
from parity.system.ray_session import connect, ended_with_ray
from parity.task.registry import TaskRef

# Of a trial whose process or node died.
RETRIES = 2


def pending(study: files.StudyRecord, refs: dict[str, TaskRef], options: RunOptions) -> list[TrialSpec]:
    """The trials of a study that are not done, in the order in which they should start."""
    request, key = study.file.request, own_key()
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
                bundles=config.bundles,
                longest_s=options.trial_timeout,
                most_memory_mb=options.trial_memory,
                key=key,
            )
        )
    # Frameworks alternate, so that each shares the machine with the other as often.
    return sorted(specs, key=lambda spec: (request.tasks.index(spec.task), spec.seed))


def cores_of(study: files.StudyRecord) -> float:
    """The cores that the largest trial of a study asks for."""
    needs = [framework.bundles for task in study.file.tasks.values() for framework in task.frameworks.values()]
    return max(sum(bundle.get("CPU", 0.0) for bundle in bundles) for bundles in needs)


@contextlib.contextmanager
def opened_ray(refs: Iterable[TaskRef], address: str | None = None, cores: float = 0.0) -> Iterator[str]:
    """Opens Ray for a command; yields the address at which other processes can join it.

    Args:
        refs: the tasks; Ray's processes find what their files import.
        address: of a running cluster; None starts one on this machine.
        cores: what it must offer, however few this machine has.
    """
    _quiet()
    folders = {folder for ref in refs if (folder := ref.folder) is not None}
    try:
        at = connect(address, cores, folders)
        with ended_with_ray():
            yield at
    finally:
        ray.shutdown()


def run_trials(study: files.StudyRecord, specs: list[TrialSpec]) -> None:
    """Runs trials to their ends on the Ray that is open. One that crashes leaves its reason and log; the others go on."""
    if not specs:
        return
    by_label = {spec.label: spec for spec in specs}
    for spec in specs:  # how an earlier attempt ended says nothing of this one
        (Path(spec.folder) / files.TRIAL_FILE).unlink(missing_ok=True)
    display = ProgressDisplay(specs)
    # What Tune itself writes is of no use to anybody.
    with display, tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_TuneTrial, specs=by_label),
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
            results = tuner.fit()
    for spec, result in zip(specs, results, strict=True):
        if not has_ended(spec):
            cause = in_short(result.error) if result.error is not None else "it says nothing"
            reason = f"its process died {RETRIES + 1} times, at last so: {cause}"
            lost_trial(spec, reason)


def has_ended(spec: TrialSpec) -> bool:
    """Whether a trial wrote that it is done or that it crashed."""
    path = Path(spec.folder) / files.TRIAL_FILE
    return path.is_file() and files.TrialMeta.model_validate_json(path.read_text("utf-8")).status != "interrupted"


class _TuneTrial(tune.Trainable):
    """A trial in the main thread of its process, whole in one step.

    Tune runs a function in another thread, where an environment may not install a signal handler; what a trial says
    meanwhile goes through its folder, see `parity.study.progress`.
    """

    def setup(self, config: dict[str, Any], specs: dict[str, TrialSpec] | None = None) -> None:
        assert specs is not None
        self._spec = specs[config["trial"]]

    def step(self) -> dict[str, Any]:
        folder = Path(self._spec.folder)
        if has_ended(self._spec):  # it wrote so, and its process died then
            return {"done": True, CRASHED: True}
        if read_snapshot(folder, self._spec.key) is None:
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted trial left there belongs to no run
        with _output_to(folder):
            try:
                run_trial(self._spec, lambda steps, last_return: write_progress(folder, steps, last_return))
            except Exception:
                return {"done": True, CRASHED: True}  # `trial.json` and the log have it
            finally:
                remove_progress(folder)
        return {"done": True, CRASHED: False}


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
