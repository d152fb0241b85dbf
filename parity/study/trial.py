"""One trial: a framework trains a task from one seed, is evaluated at fixed steps, and leaves its files behind."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from parity import frameworks
from parity.errors import one_line
from parity.frameworks.base import EvalRunner, Iteration, Session
from parity.frameworks.evaluation import SLOTS, Evaluation, evaluate
from parity.results import study as files
from parity.system.machine import peak_memory_mb
from parity.task import Task
from parity.task.masks import MaskCounts
from parity.task.registry import TaskRef, load

# Torch threads of a trial: more than one rarely pays with networks of this size, and trials run side by side.
DEFAULT_THREADS = 1


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """What a trial process has to know; nothing in it belongs to another process."""

    ref: TaskRef
    task: str
    framework: str
    seed: int
    steps: int
    device: str
    threads: int
    folder: str
    processes: int = 1

    @property
    def label(self) -> str:
        return f"{self.task}/{self.framework}/{self.seed}"


@dataclasses.dataclass
class Progress:
    """For people watching, after every iteration: environment steps so far, the last evaluation's mean return."""

    steps: int
    last_return: float


def run_trial(spec: TrialSpec, on_progress: Callable[[Progress], None]) -> files.TrialMeta:
    """Runs a trial to its end; whatever happens, ``trial.json`` says how it ended.

    Raises:
        Exception: what the framework or the port raised, after it was written to the trial's log.
    """
    folder = Path(spec.folder)
    folder.mkdir(parents=True, exist_ok=True)
    recorder = _Recorder(spec, folder)
    try:
        session = _open(spec)
        try:
            recorder.follow(session, load(spec.ref), on_progress)
        finally:
            session.close()
    except BaseException as error:
        crashed = isinstance(error, Exception)
        recorder.log(traceback.format_exc())
        recorder.write("crashed" if crashed else "interrupted", f"{type(error).__name__}: {one_line(error)}")
        raise
    return recorder.write("done", None)


def _open(spec: TrialSpec) -> Session:
    return frameworks.get(spec.framework).open(load(spec.ref), spec.seed, spec.device, spec.threads)


class _Recorder:
    """Collects the curve, the timing and the masks of one trial, and writes them after every evaluation."""

    def __init__(self, spec: TrialSpec, folder: Path) -> None:
        self._spec, self._folder = spec, folder
        self._started, self._start = files.now(), time.perf_counter()
        self._evaluated_s = 0.0
        self._curve: list[dict[str, Any]] = []
        self._timing: list[dict[str, Any]] = []
        self._evaluation_masks = MaskCounts()
        self._steps = 0
        self._meta: dict[str, Any] = {}
        self._log = folder / files.LOG_FILE
        self._sampling_masks = MaskCounts()

    def follow(self, session: Session, task: Task, on_progress: Callable[[Progress], None]) -> None:
        """Trains the session to ``spec.steps``, evaluating at 0 and whenever a multiple of ``eval_every`` is passed."""
        # They import torch: only in the trial's own process.
        from tensorboardX import SummaryWriter

        from parity.frameworks.network import weights_hash

        self._board = SummaryWriter(str(self._folder))  # for TensorBoard
        stage = session.eval_runner(min(SLOTS, task.eval_episodes))
        self._meta = {"devices": session.devices(), "initial_weights": weights_hash(session.weights())}
        self.log(f"{self._spec.label}: {self._spec.steps} steps on {session.devices()}, {self._spec.threads} threads")
        self._start = time.perf_counter()
        self._evaluate(stage, task, steps=0)
        on_progress(Progress(0, self._curve[-1]["return_mean"]))

        def after_iteration(iteration: Iteration) -> None:
            due = iteration.steps // task.eval_every > self._steps // task.eval_every
            self._steps = iteration.steps
            self._sampling_masks = session.sampling_masks()
            evaluate_s = 0.0
            if due or iteration.steps >= self._spec.steps:
                evaluate_s = self._evaluate(stage, task, iteration.steps)
            self._timing.append(
                {"iteration": len(self._timing), "steps": iteration.steps, "sample_s": iteration.sample_s}
                | {"returns_s": iteration.returns_s, "update_s": iteration.update_s, "evaluate_s": evaluate_s}
            )
            for phase in ("sample_s", "returns_s", "update_s"):
                self._board.add_scalar(f"time/{phase}", self._timing[-1][phase], iteration.steps)
            on_progress(Progress(iteration.steps, self._curve[-1]["return_mean"]))

        session.train(self._spec.steps, after_iteration)
        self._board.close()
        stage.close()
        session.save(self._folder / files.CHECKPOINT)

    def _evaluate(self, stage: EvalRunner, task: Task, steps: int) -> float:
        begin = time.perf_counter()
        deterministic = evaluate(stage, task.eval_episodes, deterministic=True)
        sampled = evaluate(stage, task.eval_episodes, deterministic=False)
        end = time.perf_counter()
        self._evaluated_s += end - begin
        self._evaluation_masks += deterministic.masks + sampled.masks
        wall_s = begin - self._start
        row = {"steps": steps, "wall_s": wall_s, "train_s": wall_s - (self._evaluated_s - (end - begin))}
        row |= {
            "length_mean": float(deterministic.lengths.mean()),
            **_returns("", deterministic),
            **_returns("sampled_", sampled),
            **_others("", deterministic),
            **_others("sampled_", sampled),
        }
        self._curve.append(row)
        self.log(
            f"{steps} steps, {row['train_s']:.1f} s: mean return {row['return_mean']:.4g} deterministic, "
            f"{row['sampled_return_mean']:.4g} sampled"
        )
        means = [files.agent_column(agent, "return_mean") for agent in deterministic.others]
        for name in ("return_mean", "sampled_return_mean", "length_mean", *means):
            self._board.add_scalar(f"evaluation/{name}", row[name], steps)
        self._write_tables()
        return end - begin

    def _write_tables(self) -> None:
        pd.DataFrame(self._curve).to_parquet(self._folder / files.CURVE_FILE, index=False)
        pd.DataFrame(self._timing, columns=_TIMING_COLUMNS).to_parquet(self._folder / files.TIMING_FILE, index=False)
        masks = {"sampling": self._sampling_masks, "evaluation": self._evaluation_masks}
        text = json.dumps({phase: dataclasses.asdict(counts) for phase, counts in masks.items()}, indent=1)
        (self._folder / files.MASKS_FILE).write_text(text + "\n", encoding="utf-8")

    def write(self, status: str, reason: str | None) -> files.TrialMeta:
        if self._curve:
            self._write_tables()
        meta = files.TrialMeta(
            task=self._spec.task,
            framework=self._spec.framework,
            seed=self._spec.seed,
            status=status,  # type: ignore[arg-type]
            reason=reason,
            steps=self._steps,
            started=self._started,
            wall_s=time.perf_counter() - self._start,
            peak_memory_mb=peak_memory_mb(),
            threads=self._spec.threads,
            processes=self._spec.processes,
            **self._meta,
        )
        meta.write(self._folder / files.TRIAL_FILE)
        return meta

    def log(self, text: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{files.now()} {text}\n")


_TIMING_COLUMNS = ["iteration", "steps", "sample_s", "returns_s", "update_s", "evaluate_s"]


def _returns(prefix: str, evaluation: Evaluation) -> dict[str, Any]:
    return _mean_and_std(prefix, evaluation.returns) | {f"{prefix}returns": evaluation.returns.tolist()}


def _others(prefix: str, evaluation: Evaluation) -> dict[str, Any]:
    return {
        files.agent_column(agent, column): value
        for agent, returns in evaluation.others.items()
        for column, value in _mean_and_std(prefix, returns).items()
    }


def _mean_and_std(prefix: str, returns: np.ndarray) -> dict[str, float]:
    return {
        f"{prefix}return_mean": float(returns.mean()),
        f"{prefix}return_std": float(returns.std(ddof=1)) if len(returns) > 1 else math.nan,
    }
