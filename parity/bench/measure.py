"""One round of one framework: trained in this process for a few iterations, by its own loop, and timed."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import psutil

from parity.task.registry import TaskRef

LOOKED_AROUND_S = 0.3


@dataclasses.dataclass(frozen=True)
class Job:
    """What a process has to know. ``address`` is that of the Ray that a port's further processes run on."""

    ref: TaskRef
    framework: str
    seed: int
    device: str
    threads: int
    warmup: int
    iterations: int
    address: str


@dataclasses.dataclass(frozen=True)
class Measured:
    """See ``parity.results.bench.Round``; ``phases_s`` in the order of ``PHASES``."""

    env_steps_per_s: float
    phases_s: tuple[float, float, float]
    start_s: float
    iterations: int
    steps: int
    devices: dict[str, str]
    peak_memory_mb: float
    other_load: float


def measure(job: Job) -> Measured:
    """To be called in a fresh process.

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
    connect(job.address, 0, set())
    task = load(job.ref)
    session = frameworks.get(job.framework).open(task, job.seed, job.device, job.threads)
    rows: list[tuple[float, Any]] = []
    try:
        devices = session.devices()
        # A framework waits for its device before it reports an iteration: the clock may be read here.
        session.train(
            (job.warmup + job.iterations) * task.ppo.n_envs * task.ppo.n_steps,
            lambda iteration: rows.append((time.perf_counter(), iteration)),
        )
    finally:
        session.close()
    if len(rows) <= job.warmup:
        raise ValueError(
            f"{job.framework} trained in {len(rows)} iterations, of which {job.warmup} are warm-up; its iterations are longer "
            "than the task's n_envs x n_steps: give more --iterations"
        )
    (warm, first), (end, last) = rows[job.warmup - 1], rows[-1]
    counted = [iteration for _, iteration in rows[job.warmup :]]
    return Measured(
        env_steps_per_s=(last.steps - first.steps) / (end - warm),
        phases_s=tuple(float(np.mean([getattr(i, p) for i in counted])) for p in ("sample_s", "returns_s", "update_s")),  # type: ignore[arg-type]
        start_s=warm - begin,
        iterations=len(counted),
        steps=last.steps - first.steps,
        devices=devices,
        peak_memory_mb=peak_memory_mb(),
        other_load=other_load,
    )


def _load() -> float:
    """Cores that are busy while this process waits."""
    return round(psutil.cpu_percent(interval=LOOKED_AROUND_S) / 100 * (psutil.cpu_count() or 1), 2)
