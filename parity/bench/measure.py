"""One round of one framework: trained in this process for a few iterations, by its own loop, and timed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from statistics import mean
from typing import Any

import psutil

from parity.bench.sentence import LIMIT, LIMIT_OF_PORT
from parity.frameworks.base import Iteration
from parity.results.bench import BenchRequest, PhaseTime, Round
from parity.results.summary import PhaseSeconds
from parity.task.registry import TaskRef

# Over which the load by other programs is measured.
LOAD_INTERVAL_S = 0.3
EVALUATED_EPISODES = 20


@dataclasses.dataclass(frozen=True)
class Work:
    """One process to run.

    Attributes:
        phases: whether to measure phases by hooks, and an evaluation after training.
        at: point of a sweep.
        exchange: whether it is one of a pair of rounds with and without a part of the port.
        without: that part, in whose place the framework's standard one stands.
    """

    task: str
    framework: str
    round: int
    phases: bool = False
    at: dict[str, int] = dataclasses.field(default_factory=dict)
    exchange: bool = False
    without: str | None = None


@dataclasses.dataclass(frozen=True)
class _Subject:
    """What is trained: a framework's session, or the limit."""

    train: Callable[[int, Callable[[Iteration], None]], None]
    session: Any = None


def measure(ref: TaskRef, work: Work, request: BenchRequest, address: str) -> Round:
    """Trains from a seed of its own, a port's further processes on the Ray at ``address``; to be called in a fresh process.

    Raises:
        CannotStart: the framework cannot run the task.
        ValueError: the framework's iterations are so long that none is left after the warm-up.
    """
    other_load = _load()
    begin = time.perf_counter()
    import logging
    import warnings

    from parity import frameworks
    from parity.bench.conditions import conditions
    from parity.bench.gpu import watched
    from parity.bench.variations import THREADS, varied
    from parity.system.machine import peak_memory_mb
    from parity.task.registry import load

    warnings.simplefilter("ignore")
    logging.getLogger("ray").setLevel(logging.ERROR)
    at = request.at | work.at
    task = varied(load(ref), at)
    threads = at.get(THREADS, request.threads)
    if work.framework in (LIMIT, LIMIT_OF_PORT):
        subject = _Subject(_limit(task, work, request.device, threads).train)
    else:
        from parity.system.ray_session import connect

        connect(address, 0, set())
        framework = frameworks.get(work.framework)
        if work.without is not None:
            task = framework.without(task, work.without)
        session = framework.open(task, work.round, request.device, threads)
        subject = _Subject(session.train, session)
    open_s = time.perf_counter() - begin
    steps = (request.warmup + request.iterations) * task.ppo.rollout_steps
    try:
        with watched(request.device) as gpu:
            recorded = _recorded(subject, steps, request.warmup, work.phases)
        extra = {} if subject.session is None else _facts(subject.session)
        rate = _evaluated(subject.session) if work.phases and subject.session is not None else None
        under = conditions()
    finally:
        if subject.session is not None:
            subject.session.close()
    warmup, timed = recorded.ends[: request.warmup], recorded.ends[request.warmup :]
    if not timed:
        raise ValueError(
            f"{work.framework} trained in {len(warmup)} iterations, of which {request.warmup} are warm-up; its iterations "
            "are longer than the task's n_envs x n_steps: give more --iterations"
        )
    (start, before), (end, last) = warmup[-1], timed[-1]
    done = last.steps - before.steps
    return Round(
        task=work.task,
        framework=work.framework,
        round=work.round,
        at=work.at,
        without=work.without,
        env_steps_per_s=done / (end - start),
        phases_s=PhaseSeconds(
            sample=mean(iteration.sample_s for _, iteration in timed),
            returns=mean(iteration.returns_s for _, iteration in timed),
            update=mean(iteration.update_s for _, iteration in timed),
            evaluate=float("nan"),
        ),
        start_s=start - begin,
        open_s=open_s,
        iterations=len(timed),
        steps=done,
        peak_memory_mb=peak_memory_mb(),
        other_load=other_load,
        phases=recorded.phases,
        evaluated_steps_per_s=rate,
        conditions=under,
        gpu=gpu(),
        **extra,
    )


def _limit(task: Any, work: Work, device: str, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(work.round)
    if work.framework == LIMIT_OF_PORT:
        from parity.bench.limit_of_port import limit_of_port

        return limit_of_port(task, work.round, device)
    from parity.bench.limit import limit_of_task

    return limit_of_task(task, work.round, device)


def _facts(session: Any) -> dict[str, Any]:
    return {
        "devices": session.devices(),
        "module_devices": session.module_devices(),
        "slow_paths": session.slow_paths(),
        "replaceable": session.replaceable(),
        "learning_modules": session.learning_modules(),
    }


@dataclasses.dataclass(frozen=True)
class _Recorded:
    ends: list[tuple[float, Iteration]]
    phases: dict[str, PhaseTime]


def _recorded(subject: _Subject, steps: int, warmup: int, with_phases: bool) -> _Recorded:
    """Trains; a framework waits for its device before it reports an iteration, so that the clock may be read there."""
    ends: list[tuple[float, Iteration]] = []
    if not with_phases:
        subject.train(steps, lambda iteration: ends.append((time.perf_counter(), iteration)))
        return _Recorded(ends, {})
    from parity.frameworks.device import synchronizer
    from parity.frameworks.phases import Phases

    devices = subject.session.module_devices().values()
    phases = Phases(synchronizer(next((device for device in devices if device.startswith("cuda")), "cpu")))
    subject.session.watch_phases(phases)

    def ended(iteration: Iteration) -> None:
        phases.settle()
        ends.append((time.perf_counter(), iteration))
        if len(ends) == warmup:
            phases.begin()

    with phases.watching_torch():
        phases.begin()
        subject.train(steps, ended)
    return _Recorded(ends, phases.means(max(1, len(ends) - warmup)))


def _evaluated(session: Any) -> float:
    """Environment steps per second of an evaluation, as studies make it."""
    from parity.frameworks.evaluation import SLOTS, evaluate

    eval_runner = session.eval_runner(min(SLOTS, EVALUATED_EPISODES))
    try:
        begin = time.perf_counter()
        evaluation = evaluate(eval_runner, EVALUATED_EPISODES, deterministic=True)
        return float(evaluation.lengths.sum()) / (time.perf_counter() - begin)
    finally:
        eval_runner.close()


def _load() -> float:
    """Cores that are busy while this process waits."""
    return round(psutil.cpu_percent(interval=LOAD_INTERVAL_S) / 100 * (psutil.cpu_count() or 1), 2)
