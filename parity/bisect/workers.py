"""Ladders of mixtures, one after another in few processes: a port that crashes or hangs costs its own mixture only."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from parity.bisect.part import Anatomy
from parity.bisect.verdict import DIED, FIRST_NUMERIC, HUNG, REFUSED, Verdict, of_climb, stopped
from parity.system.machine import cores
from parity.task.registry import TaskRef

if TYPE_CHECKING:
    from parity.bisect.mixture import Dissected
    from parity.bisect.step import Reached, Step
    from parity.bisect.trained import Run
    from parity.task import Task

FRAMEWORK = "rllib"
# Ten times what the largest built-in task takes, imports included.
LONGEST_S = 300.0
# More processes of 1 GB each do not pay on the machines that ports are written on.
MOST_PROCESSES = 2


class Workers:
    """Processes that take a port apart and climb the ladders of its mixtures.

    Args:
        ref: the task.
        log: file for everything that the processes print.
        processes: how many; None for one per core, up to two.
        longest_s: seconds after which a mixture is given up.
    """

    def __init__(self, ref: TaskRef, log: str, processes: int | None = None, longest_s: float = LONGEST_S) -> None:
        self._ref, self._log, self._longest_s = ref, log, longest_s
        self._slots = [_Slot(log) for _ in range(processes or min(MOST_PROCESSES, cores()))]

    @property
    def processes(self) -> int:
        return len(self._slots)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for slot in self._slots:
            slot.kill()

    def anatomy(self) -> Anatomy:
        """The parts of the port.

        Raises:
            CannotStart: the task cannot be loaded, or its port not be built.
        """
        return self._slots[0].executor.submit(dissect, self._ref).result(self._longest_s)

    def run(
        self,
        function: Callable[[TaskRef, Any], Any],
        work: Sequence[Any],
        on_done: Callable[[Any, Any], None],
        longest_s: float | None = None,
    ) -> list[Any]:
        """``function(ref, each)`` in a process for each of ``work``; results in its order.

        Where the process dies or comes to no end in ``longest_s``, the result is the `Verdict` that says so.
        """
        longest_s = longest_s or self._longest_s
        waiting, found = list(enumerate(work)), dict[int, Any]()
        running: dict[Future[Any], tuple[int, _Slot, float]] = {}
        free = list(self._slots)
        while waiting or running:
            while waiting and free:
                index, each = waiting.pop(0)
                slot = free.pop(0)
                future = slot.executor.submit(function, self._ref, each)
                running[future] = (index, slot, time.monotonic() + longest_s)
            next_limit = min(limit for _, _, limit in running.values()) - time.monotonic()
            wait(running, timeout=max(0.0, next_limit), return_when=FIRST_COMPLETED)
            for future, (index, slot, limit) in list(running.items()):
                if not future.done() and time.monotonic() < limit:
                    continue
                found[index] = self._result(future, slot, longest_s)
                del running[future]
                free.append(slot)
                on_done(work[index], found[index])
        return [found[i] for i in range(len(work))]

    def _result(self, future: Future[Any], slot: _Slot, longest_s: float) -> Any:
        if not future.done():
            slot.restart()
            return stopped(HUNG, f"no end after {longest_s:.0f} s", longest_s)
        try:
            return future.result()
        except BrokenProcessPool:
            slot.restart()
            return stopped(DIED, "out of memory, os._exit, or a crash of native code")


class _Slot:
    """One process, made anew when it is lost."""

    def __init__(self, log: str) -> None:
        self._log = log
        self._start()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(1, mp_context=spawn, initializer=_quiet, initargs=(self._log,))
        self._pid = self.executor.submit(os.getpid)

    def kill(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Exception):
            os.kill(self._pid.result(timeout=0), getattr(signal, "SIGKILL", signal.SIGTERM))

    def restart(self) -> None:
        self.kill()
        self._start()


# --- in a worker process


def _quiet(log: str) -> None:
    """What the port and its frameworks print goes to the log; Ctrl-C ends the process without a traceback of its own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


@functools.cache
def dissected(ref: TaskRef) -> Dissected:
    """The port, taken apart once per process."""
    import logging
    import warnings

    from parity.task.registry import load

    task = load(ref)
    import torch

    from parity.bisect.mixture import Dissected

    warnings.simplefilter("ignore")
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    return Dissected(task)


def dissect(ref: TaskRef) -> Anatomy:
    """The parts of the port, or which part of it raises before it can be taken apart.

    Raises:
        CannotStart: the task cannot be loaded, or its environment not be played, whatever the port does.
    """
    from parity.errors import CannotStart
    from parity.frameworks.reference_scores import uniform_legal_returns
    from parity.task.registry import load

    uniform_legal_returns(load(ref), episodes=1)
    try:
        return dissected(ref).anatomy
    except CannotStart:
        raise
    except Exception as error:
        from parity.bisect.unbuilt import blame

        return blame(load(ref), error)


def climb_mixture(ref: TaskRef, keys: frozenset[str]) -> Verdict:
    """The ladder of one mixture."""
    return climb_task(lambda: dissected(ref).mixture(keys))


def take_step(ref: TaskRef, step: Step) -> Reached:
    """One step from a probe to the whole port."""
    from parity.bisect.climb import take

    return take(ref, step)


def train_mixture(ref: TaskRef, wanted: tuple[frozenset[str], int, int]) -> Run:
    """One short training: the user's parts, seed, environment steps."""
    from parity.bisect.train import train

    return train(ref, wanted)


def uniform_legal(ref: TaskRef, _: object) -> float:
    """The mean return of play that is uniform over legal actions."""
    from parity.bisect import train

    return train.uniform_legal(ref)


def climb_task(make: Callable[[], Task]) -> Verdict:
    """The ladder of a task, whatever ran before in this process.

    Where only computed numbers differ, it is climbed once more on another rollout, and an error counts that both show:
    Adam divides small gradients by themselves, so that float noise alone can pass the bound of a step now and then.
    """
    first = _climb(make, 0)
    if first.holds or any(error.rung < FIRST_NUMERIC for error in first.errors if error.is_root):
        return first
    second = _climb(make, 1)
    if second.holds or not first.roots & second.identities:
        return Verdict(True, seconds=first.seconds + second.seconds)
    return first


def _climb(make: Callable[[], Task], draw: int) -> Verdict:
    from parity.capture import collect
    from parity.errors import CannotStart
    from parity.frameworks.randomness import seeded
    from parity.ladder.run_rungs import run_rungs

    begin = time.perf_counter()
    try:
        with seeded(0, draw):
            numbers = collect(make(), FRAMEWORK, "cpu")
    except CannotStart as error:
        return stopped(REFUSED, str(error), time.perf_counter() - begin)
    assert numbers is not None
    return of_climb(run_rungs(numbers), numbers.facts.get("raised", {}), time.perf_counter() - begin)
