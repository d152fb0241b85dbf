"""One round of one framework: trained in this process for a few iterations, by its own loop, and timed."""

from __future__ import annotations

import time
from statistics import mean

import psutil

from parity.frameworks.base import Iteration
from parity.results.bench import BenchRequest, Round
from parity.results.summary import PhaseSeconds
from parity.task.registry import TaskRef

# Over which the load by other programs is measured.
LOAD_INTERVAL_S = 0.3


def measure(ref: TaskRef, task_id: str, framework: str, round_: int, request: BenchRequest, address: str) -> Round:
    """Trains from seed ``round_``, a port's further processes on the Ray at ``address``; to be called in a fresh process.

    Raises:
        CannotStart: the framework cannot run the task.
        ValueError: the framework's iterations are so long that none is left after the warm-up.
    """
    other_load = _load()
    begin = time.perf_counter()
    import logging
    import warnings

    from parity import frameworks
    from parity.system.machine import peak_memory_mb
    from parity.system.ray_session import connect
    from parity.task.registry import load

    warnings.simplefilter("ignore")
    logging.getLogger("ray").setLevel(logging.ERROR)
    connect(address, 0, set())
    task = load(ref)
    session = frameworks.get(framework).open(task, round_, request.device, request.threads)
    ends: list[tuple[float, Iteration]] = []
    try:
        devices = session.devices()
        # A framework waits for its device before it reports an iteration: the clock may be read here.
        session.train(
            (request.warmup + request.iterations) * task.ppo.rollout_steps,
            lambda iteration: ends.append((time.perf_counter(), iteration)),
        )
        slow_paths = session.slow_paths()
    finally:
        session.close()
    warmup, timed = ends[: request.warmup], ends[request.warmup :]
    if not timed:
        raise ValueError(
            f"{framework} trained in {len(ends)} iterations, of which {request.warmup} are warm-up; its iterations are "
            "longer than the task's n_envs x n_steps: give more --iterations"
        )
    (start, before), (end, last) = warmup[-1], timed[-1]
    steps = last.steps - before.steps
    return Round(
        task=task_id,
        framework=framework,
        round=round_,
        env_steps_per_s=steps / (end - start),
        phases_s=PhaseSeconds(
            sample=mean(iteration.sample_s for _, iteration in timed),
            returns=mean(iteration.returns_s for _, iteration in timed),
            update=mean(iteration.update_s for _, iteration in timed),
            evaluate=float("nan"),
        ),
        start_s=start - begin,
        iterations=len(timed),
        steps=steps,
        devices=devices,
        peak_memory_mb=peak_memory_mb(),
        other_load=other_load,
        slow_paths=slow_paths,
    )


def _load() -> float:
    """Cores that are busy while this process waits."""
    return round(psutil.cpu_percent(interval=LOAD_INTERVAL_S) / 100 * (psutil.cpu_count() or 1), 2)
