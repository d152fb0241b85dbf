"""A few processes that load one task and do jobs on it: a port that crashes or hangs costs its own job only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from parity.system.machine import cores
from parity.system.scratch import scratch
from parity.system.subprocesses import fixed_hash_seed, kill, live_with_driver
from parity.task.registry import TaskRef

# How a process is lost.
DIED, HUNG = "died", "hung"
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# Ten times what a ladder of the largest built-in task takes, imports included.
LONGEST_S = 300.0
# More processes of 1 GB each do not pay on the machines that ports are written on.
MOST_PROCESSES = 2


class Job(Protocol[T_co]):
    """Something to do on a task in a worker process; it and its result are pickled."""

    def run(self, ref: TaskRef) -> T_co:
        """Does it, in a worker process. What it raises is raised by `WorkerPool.run`."""

    def lost(self, code: str, reason: str, seconds: float = 0.0) -> T_co:
        """The result where the process was lost: ``code`` is `DIED` or `HUNG`."""


class WorkerPool:
    """Worker processes for one task: one per core, up to two, unless a number is asked for. What they print goes to ``log``."""

    def __init__(self, ref: TaskRef, log: str, processes: int | None = None) -> None:
        self._ref = ref
        self._scratch = contextlib.ExitStack()
        self._scratch.enter_context(scratch())
        self._workers = [_Worker(log) for _ in range(processes or min(MOST_PROCESSES, cores()))]

    @property
    def processes(self) -> int:
        return len(self._workers)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        self._scratch.close()

    def run(
        self,
        jobs: Sequence[Job[T]],
        on_done: Callable[[int, T], None] = lambda index, result: None,
        longest_s: float = LONGEST_S,
    ) -> list[T]:
        """Does the jobs and returns their results in order; ``on_done`` is called with a job's place and result as it ends."""
        waiting = list(enumerate(jobs))
        results: dict[int, T] = {}
        free = list(self._workers)
        running: dict[Future[T], tuple[int, _Worker, float]] = {}
        while waiting or running:
            while waiting and free:
                index, job = waiting.pop(0)
                worker = free.pop(0)
                running[worker.submit(job, self._ref)] = (index, worker, time.monotonic() + longest_s)
            first_limit = min(limit for _, _, limit in running.values())
            wait(running, timeout=max(0.0, first_limit - time.monotonic()), return_when=FIRST_COMPLETED)
            for future, (index, worker, limit) in list(running.items()):
                if not future.done():
                    if time.monotonic() < limit:
                        continue
                    results[index] = jobs[index].lost(HUNG, f"no end after {longest_s:.0f} s", longest_s)
                    worker.restart()
                else:
                    try:
                        results[index] = future.result()
                    except BrokenProcessPool:
                        results[index] = jobs[index].lost(DIED, "out of memory, os._exit, or a crash of native code")
                        worker.restart()
                    except (SystemExit, GeneratorExit, KeyboardInterrupt) as error:
                        # A worker's, so raised by the port: Ctrl-C ends workers without an exception.
                        results[index] = jobs[index].lost(DIED, f"raised {error!r}")
                del running[future]
                free.append(worker)
                on_done(index, results[index])
        return [results[index] for index in range(len(jobs))]


class _Worker:
    """One process, started anew when it is lost."""

    def __init__(self, log: str) -> None:
        self._log = log
        self._start()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, mp_context=spawn, initializer=_log_output, initargs=(self._log,))
        with fixed_hash_seed():  # the first submission starts the process
            self._pid = self._executor.submit(os.getpid)

    def submit(self, job: Job[T], ref: TaskRef) -> Future[T]:
        return self._executor.submit(job.run, ref)

    def kill(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        # A process that has died, or has not started yet, needs no ending.
        with contextlib.suppress(BrokenProcessPool, CancelledError, TimeoutError):
            kill(self._pid.result(timeout=0))

    def restart(self) -> None:
        self.kill()
        self._start()


def _log_output(log: str) -> None:
    """What the port and its frameworks print goes to the log."""
    live_with_driver()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
