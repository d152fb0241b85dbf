"""One trial: a framework trains a task from one seed, is evaluated at fixed steps, and leaves its files behind."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from parity import frameworks
from parity.audit.trials import accompany, say_in
from parity.errors import in_short, one_line
from parity.frameworks.base import EvalRunner, Iteration, Session
from parity.frameworks.evaluation import SLOTS, Evaluation, evaluate
from parity.results import study as files
from parity.results.writing import replacing, write_text
from parity.study.limits import limited
from parity.study.snapshots import read_snapshot, remove_snapshot, write_snapshot
from parity.system.board import Board
from parity.system.machine import peak_memory_mb
from parity.task import Task
from parity.task.masks import MaskCounts
from parity.task.registry import TaskRef, load


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """What a trial's process has to know; ``processes`` and ``bundles`` as in `parity.frameworks.base.Effective`.

    More than one torch thread rarely pays with networks of this size, and trials run side by side. ``longest_s`` and
    ``most_memory_mb`` are limits, see `parity.study.limits`; ``key`` is what snapshots are signed with.
    """

    ref: TaskRef
    task: str
    framework: str
    seed: int
    steps: int
    device: str
    threads: int
    folder: str
    processes: int = 1
    bundles: list[dict[str, float]] = dataclasses.field(default_factory=lambda: [{"CPU": 1.0}])
    longest_s: float = math.inf
    most_memory_mb: float | None = None
    key: bytes | None = dataclasses.field(default=None, repr=False)

    @property
    def label(self) -> str:
        return f"{self.task}/{self.framework}/{self.seed}"


def run_trial(
    spec: TrialSpec, on_progress: Callable[[int, float], None], on_end: Callable[[], None] = lambda: None
) -> None:
    """Runs a trial to its end; whatever happens, ``trial.json`` says how it ended.

    Args:
        on_progress: called after every iteration, with the environment steps so far and the last evaluation's mean return.
        on_end: called when ``trial.json`` is written.

    Raises:
        Exception: what the framework or the port raised, after it was written to the trial's log.
    """
    recorder = _Recorder(spec, on_end)
    try:
        task = load(spec.ref)
        say_in(recorder.log)
        session = recorder.go_on()
        if session is None:
            framework = frameworks.get(spec.framework)
            accompany(framework, Path(spec.folder), task.declared)
            session = framework.open(task, spec.seed, spec.device, spec.threads)
        try:
            with limited(spec.longest_s, spec.most_memory_mb, lambda reason: recorder.write("crashed", reason)):
                recorder.follow(session, task, on_progress)
        finally:
            session.close()
    except BaseException as error:
        recorder.log(traceback.format_exc())
        # A port that calls sys.exit is one that raised; what stops a trial from outside is KeyboardInterrupt, or a full disk.
        interrupted = isinstance(error, KeyboardInterrupt) or is_for_want_of_room(error)
        recorder.write("interrupted" if interrupted else "crashed", in_short(error))
        if interrupted or isinstance(error, Exception):
            raise
        raise RuntimeError(f"the port raised {in_short(error)}") from error
    recorder.write("done", None)


def is_for_want_of_room(error: BaseException) -> bool:
    """Whether a disk or a quota is full: no fault of the port's, and the trial may go on when there is room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def lost_trial(spec: TrialSpec, reason: str) -> None:
    """Writes ``trial.json`` of a trial that could not do so itself."""
    recorder = _Recorder(spec)
    recorder.log(reason)
    recorder.write("crashed", reason)


class _Recorder:
    """Collects the curve, the timing and the masks of one trial, and writes them after every evaluation."""

    def __init__(self, spec: TrialSpec, on_end: Callable[[], None] = lambda: None) -> None:
        self._spec, self._folder, self._on_end = spec, Path(spec.folder), on_end
        self._folder.mkdir(parents=True, exist_ok=True)
        self._started, self._start = files.now(), time.perf_counter()
        self._evaluated_s = 0.0
        self._steps = 0
        self._curve: list[dict[str, Any]] = []
        self._timing: list[dict[str, Any]] = []
        self._masks = {"sampling": MaskCounts(), "evaluation": MaskCounts()}
        self._seen: dict[str, Any] = {}
        self._eval_runner: EvalRunner | None = None
        self._is_kept = spec.key is not None
        self._keep_again_at = -math.inf

    def go_on(self) -> Session | None:
        """The session of a trial that was interrupted, from where it was kept; None where it was not."""
        data = read_snapshot(self._folder, self._spec.key)
        if data is None:
            return None
        import torch

        from parity.frameworks.snapshot import CannotBeKept, unpack

        torch.set_num_threads(self._spec.threads)
        try:
            session, self._eval_runner, wall_s, course = unpack(data)
        except CannotBeKept as reason:
            self.log(f"begins anew: what was kept of it cannot be read ({one_line(reason)})")
            return None
        vars(self).update(course)
        self._start = time.perf_counter() - wall_s
        self.log(f"{self._spec.label}: goes on after {self._steps} steps")
        return session

    def _keep(self, session: Session) -> None:
        """Stores the session where it is, if it can be; whoever interrupts the trial loses what comes after.

        Where that takes long, it is done more seldom.
        """
        from parity.frameworks.snapshot import CannotBeKept, pack

        begin = time.perf_counter()
        course = {name: getattr(self, name) for name in _COURSE}
        try:
            data = pack((session, self._eval_runner, begin - self._start, course), session.reducers())
        except (CannotBeKept, NotImplementedError) as reason:
            self._is_kept = False
            self.log(f"cannot be kept ({one_line(reason)}): interrupted, it begins anew")
            return
        assert self._spec.key is not None
        try:
            write_snapshot(self._folder, data, self._spec.key)
        except OSError as error:
            if not is_for_want_of_room(error):
                raise
            self.log("cannot be kept here: there is no room for it")
        end = time.perf_counter()
        self._evaluated_s += end - begin
        self._keep_again_at = end + (end - begin) / _SHARE_OF_KEEPING

    def follow(self, session: Session, task: Task, on_progress: Callable[[int, float], None]) -> None:
        """Trains the session to ``spec.steps``, evaluating at 0 and whenever a multiple of ``eval_every`` is passed."""
        # It imports torch: only in the trial's own process.
        from parity.frameworks.network import weights_hash

        self._board = Board(self._folder)
        if self._eval_runner is None:
            self._eval_runner = session.eval_runner(min(SLOTS, task.eval_episodes))
            self._seen = {"devices": session.devices(), "initial_weights": weights_hash(session.weights())}
            self.log(
                f"{self._spec.label}: {self._spec.steps} steps on {session.devices()}, {self._spec.threads} threads"
            )
            self._start = time.perf_counter()
            self._evaluate(self._eval_runner, task)
        eval_runner = self._eval_runner
        on_progress(self._steps, self._curve[-1]["return_mean"])

        def after_iteration(iteration: Iteration) -> None:
            due = iteration.steps // task.eval_every > self._steps // task.eval_every
            self._steps = iteration.steps
            self._masks["sampling"] = session.sampling_masks()
            last = iteration.steps >= self._spec.steps
            evaluate_s = self._evaluate(eval_runner, task) if due or last else 0.0
            row = {"iteration": len(self._timing)} | dataclasses.asdict(iteration) | {"evaluate_s": evaluate_s}
            self._timing.append(row)
            phases = {f"time/{phase}": row[phase] for phase in ("sample_s", "returns_s", "update_s")}
            self._board.add(phases, iteration.steps)
            if due and not last and self._is_kept and time.perf_counter() >= self._keep_again_at:
                self._keep(session)
            on_progress(iteration.steps, self._curve[-1]["return_mean"])

        session.train(self._spec.steps, after_iteration)
        self._seen["callbacks"] = session.callback_changes()
        self._board.close()
        eval_runner.close()
        session.save(self._folder / files.CHECKPOINT)

    def _evaluate(self, eval_runner: EvalRunner, task: Task) -> float:
        """Adds a row to the curve. Returns the seconds that the evaluation took."""
        begin = time.perf_counter()
        deterministic = evaluate(eval_runner, task.eval_episodes, deterministic=True)
        sampled = evaluate(eval_runner, task.eval_episodes, deterministic=False)
        seconds = time.perf_counter() - begin
        wall_s = begin - self._start
        row = {"steps": self._steps, "wall_s": wall_s, "train_s": wall_s - self._evaluated_s}
        row |= {"length_mean": float(deterministic.lengths.mean())}
        row |= _return_columns("", deterministic) | _return_columns("sampled_", sampled)
        self._evaluated_s += seconds
        self._masks["evaluation"] += deterministic.masks + sampled.masks
        self._curve.append(row)
        self.log(
            f"{self._steps} steps, {row['train_s']:.1f} s: mean return {row['return_mean']:.4g} deterministic, "
            f"{row['sampled_return_mean']:.4g} sampled"
        )
        means = [files.agent_column(agent, "return_mean") for agent in deterministic.others]
        shown = ("return_mean", "sampled_return_mean", "length_mean", *means)
        self._board.add({f"evaluation/{name}": row[name] for name in shown}, self._steps)
        self._write_tables()
        return seconds

    def _write_tables(self) -> None:
        # Types as they are stored, also of a trial that crashed in its first iteration.
        timing = pd.DataFrame(self._timing, columns=_TIMING_COLUMNS).astype(
            _WHOLE | {name: "float64" for name in _TIMING_COLUMNS if name not in _WHOLE}
        )
        for name, table in ((files.CURVE_FILE, pd.DataFrame(self._curve)), (files.TIMING_FILE, timing)):
            with replacing(self._folder / name) as path:
                table.to_parquet(path, index=False)
        text = json.dumps({phase: dataclasses.asdict(counts) for phase, counts in self._masks.items()}, indent=1)
        write_text(self._folder / files.MASKS_FILE, text + "\n")

    def write(self, status: Literal["done", "crashed", "interrupted"], reason: str | None) -> None:
        """Writes ``trial.json``, and the tables as far as they have come."""
        if self._curve:
            self._write_tables()
        files.TrialMeta(
            task=self._spec.task,
            framework=self._spec.framework,
            seed=self._spec.seed,
            status=status,
            reason=reason,
            steps=self._steps,
            started=self._started,
            wall_s=time.perf_counter() - self._start,
            peak_memory_mb=peak_memory_mb(),
            threads=self._spec.threads,
            processes=self._spec.processes,
            digests=files.digests(self._folder),
            **self._seen,
        ).write(self._folder / files.TRIAL_FILE)
        if status != "interrupted":
            remove_snapshot(self._folder)
        self._on_end()

    def log(self, text: str) -> None:
        with (self._folder / files.LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"{files.now()} {text}\n")


# Of a trial's time, that storing it for an interruption may take.
_SHARE_OF_KEEPING = 0.005

# What is kept of a trial beside its session.
_COURSE = ("_started", "_evaluated_s", "_steps", "_curve", "_timing", "_masks", "_seen")
_WHOLE = {"iteration": "int64", "steps": "int64"}
_TIMING_COLUMNS = ["iteration", *(field.name for field in dataclasses.fields(Iteration)), "evaluate_s"]


def _return_columns(prefix: str, evaluation: Evaluation) -> dict[str, Any]:
    """A row's columns of one policy: the learning agent's returns, and mean and deviation of every other agent's."""
    columns: dict[str, Any] = _mean_and_std(prefix, evaluation.returns)
    columns[f"{prefix}returns"] = evaluation.returns.tolist()
    for agent, returns in evaluation.others.items():
        of_agent = _mean_and_std(prefix, returns)
        columns |= {files.agent_column(agent, column): value for column, value in of_agent.items()}
    return columns


def _mean_and_std(prefix: str, returns: np.ndarray) -> dict[str, float]:
    return {
        f"{prefix}return_mean": float(returns.mean()),
        f"{prefix}return_std": float(returns.std(ddof=1)) if len(returns) > 1 else math.nan,
    }
