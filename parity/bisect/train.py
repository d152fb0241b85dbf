"""One short training of a mixture, in a worker process."""

from __future__ import annotations

import time
from typing import Any

from parity import frameworks
from parity.bisect.trained import Run
from parity.bisect.workers import FRAMEWORK, dissected
from parity.errors import one_line
from parity.frameworks.evaluation import SLOTS, evaluate
from parity.frameworks.reference_scores import uniform_legal_returns
from parity.task import Task
from parity.task.registry import TaskRef

# Their standard error is then a seventh of the spread of single episodes, which a gain of half the reference's exceeds.
EPISODES = 50


def train(ref: TaskRef, wanted: tuple[frozenset[str], int, int]) -> Run:
    """``wanted``: the user's parts, the seed, the environment steps."""
    keys, seed, steps = wanted
    begin = time.perf_counter()
    try:
        start, end = _returns(dissected(ref).mixture(keys), seed, steps)
    except Exception as error:
        raised = f"{type(error).__name__}: {one_line(error)}"
        return Run(keys, seed, raised=raised, seconds=time.perf_counter() - begin)
    return Run(keys, seed, start, end, seconds=time.perf_counter() - begin)


def _returns(task: Task, seed: int, steps: int) -> tuple[float, float]:
    session: Any = frameworks.get(FRAMEWORK).open(task, seed, "cpu", 1)
    try:
        stage = session.eval_runner(min(SLOTS, EPISODES))
        start = float(evaluate(stage, EPISODES, deterministic=True).returns.mean())
        session.train(steps, lambda _: None)
        end = float(evaluate(stage, EPISODES, deterministic=True).returns.mean())
        stage.close()
        return start, end
    finally:
        session.close()


def uniform_legal(ref: TaskRef) -> float:
    """The mean return of play that is uniform over legal actions: the task's, or measured."""
    task = dissected(ref).task
    if task.reference is not None:
        return task.reference["uniform_legal"]
    return float(uniform_legal_returns(task).mean())
