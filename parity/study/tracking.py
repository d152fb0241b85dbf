"""``parity run --track``: every trial that has ended is made a run of Weights & Biases or MLflow, by their own libraries.

In a process beside the study, which reads what trials have stored: a tracker that fails, or waits for its network, costs the
study nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import logging
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from parity.errors import CannotStart, in_short
from parity.results import study as files
from parity.system.console import say
from parity.system.subprocesses import running_beside

PROJECT = "parity"
LOOK_EVERY_S = 2.0
# After the study's end; a run is sent within seconds where its server answers.
PATIENCE_S = 60.0
# In the folder of a trial that was sent, before the tracker's name.
SENT = "sent-to-"
# What MLflow takes in one call.
MOST_METRICS, MOST_PARAMS = 1000, 100


@dataclasses.dataclass(frozen=True)
class Run:
    """A trial as trackers have it. ``rows``: environment steps -> metric -> value; ``reason``: of a trial that crashed.

    ``id`` is the same whenever the trial is sent, so that it is never there twice.
    """

    id: str
    name: str
    study: str
    config: dict[str, Any]
    rows: dict[int, dict[str, float]]
    reason: str | None


Send = Callable[[Run], None]


def check_tracker(name: str | None) -> None:
    """
    Raises:
        CannotStart: its library is not installed.
    """
    # W&B's own folder of runs, wandb/, would be found as a package without an origin.
    if name is not None and ((spec := importlib.util.find_spec(name)) is None or spec.origin is None):
        raise CannotStart(
            f"--track {name} needs the package {name}, which is not installed: pip install 'parity[{name}]'."
        )


@contextlib.contextmanager
def tracking(folder: Path, tracker: str | None) -> Iterator[None]:
    """Sends the trials of the study in ``folder`` that end in the block, and those that were not sent before."""
    if tracker is None:
        yield
        return
    with running_beside(_send_as_they_end, folder, tracker, about=f"--track {tracker}", patience_s=PATIENCE_S):
        yield


def _send_as_they_end(over: Event, folder: Path, tracker: str) -> None:
    if hasattr(os, "nice"):
        os.nice(10)  # trials are timed
    try:
        with contextlib.ExitStack() as opened:
            send: Send | None = None
            is_over = False
            while not is_over:
                is_over = over.wait(LOOK_EVERY_S)
                for trial in unsent(folder, tracker):
                    send = send or opened.enter_context(TRACKERS[tracker]())
                    send(run_of(folder, trial))
                    (trial.folder / f"{SENT}{tracker}").touch()
    except Exception as error:
        say(
            f"--track {tracker}: {in_short(error)}. The study goes on; "
            f"`parity run --resume STUDY --track {tracker}` sends what is missing"
        )


def unsent(folder: Path, tracker: str) -> Iterator[files.TrialRecord]:
    """Trials that have ended and that the tracker has not got; what cannot be read is left to the judge."""
    for path in sorted((folder / files.TRIALS).glob(f"*/*/*/{files.TRIAL_FILE}")):
        if (path.parent / f"{SENT}{tracker}").exists():
            continue
        task, framework, seed = path.parent.parts[-3:]
        trial = files.load_trial(folder, task, framework, int(seed))
        if trial.damage is None and trial.meta is not None and trial.meta.status != "interrupted":
            yield trial


def run_of(folder: Path, trial: files.TrialRecord) -> Run:
    """The run that a trial becomes: metrics are called as TensorBoard's, hyperparameters are those that really ran."""
    study = files.StudyFile.model_validate_json((folder / files.STUDY_FILE).read_text("utf-8"))
    assert trial.meta is not None
    name = f"{trial.task}/{trial.framework}/{trial.seed}"
    about = {"study": study.study, "task": trial.task, "framework": trial.framework, "seed": trial.seed}
    rows: dict[int, dict[str, float]] = defaultdict(dict)
    for group, table in (("evaluation", trial.curve), ("time", trial.timing)):
        if table is None:
            continue
        for row in table.select_dtypes("number").to_dict("records"):
            steps = int(row.pop("steps"))
            rows[steps] |= {f"{group}/{column}": float(v) for column, v in row.items() if math.isfinite(v)}
    return Run(
        id=hashlib.sha256(f"{study.created}/{study.study}/{name}".encode()).hexdigest()[:16],
        name=name,
        study=study.study,
        config=about | study.tasks[trial.task].frameworks[trial.framework].hyperparameters,
        rows=dict(sorted(rows.items())),
        reason=trial.meta.reason,
    )


@contextlib.contextmanager
def _wandb() -> Iterator[Send]:
    """Where runs go is said as W&B says it: ``WANDB_MODE``, ``WANDB_PROJECT``, ``WANDB_ENTITY``, ``WANDB_DIR``."""
    import wandb

    # This process is no training: its output and its load say nothing of one.
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, disable_code=True)

    def send(run: Run) -> None:
        open_run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.name,
            group=run.study,
            config=run.config,
            settings=settings,
        )
        for steps, metrics in run.rows.items():
            open_run.log(metrics, step=steps)
        if run.reason is not None:
            open_run.summary["reason"] = run.reason
        open_run.finish(exit_code=int(run.reason is not None))

    try:
        yield send
    finally:
        wandb.teardown()


@contextlib.contextmanager
def _mlflow() -> Iterator[Send]:
    """Where runs go is said as MLflow says it: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``."""
    import mlflow
    from mlflow.entities import Metric, Param

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    client = mlflow.MlflowClient()
    experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)).experiment_id

    def send(run: Run) -> None:
        for begun in client.search_runs([experiment], f"tags.parity_id = '{run.id}'"):
            client.delete_run(begun.info.run_id)
        tags = {"parity_id": run.id, "study": run.study} | ({} if run.reason is None else {"reason": run.reason})
        to = client.create_run(experiment, run_name=run.name, tags=tags).info
        params = [Param(name, str(value)) for name, value in run.config.items()]
        values = [
            Metric(name, value, to.start_time, steps) for steps, row in run.rows.items() for name, value in row.items()
        ]
        for first in range(0, len(params), MOST_PARAMS):
            client.log_batch(to.run_id, params=params[first : first + MOST_PARAMS])
        for first in range(0, len(values), MOST_METRICS):
            client.log_batch(to.run_id, metrics=values[first : first + MOST_METRICS])
        client.set_terminated(to.run_id, "FINISHED" if run.reason is None else "FAILED")

    yield send


TRACKERS: dict[str, Callable[[], contextlib.AbstractContextManager[Send]]] = {"wandb": _wandb, "mlflow": _mlflow}
