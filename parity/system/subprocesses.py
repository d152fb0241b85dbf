"""Runs work that imports a user's code in a separate process: the driver imports no framework and survives a crash."""

from __future__ import annotations

import contextlib
import gc
import inspect
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeVar

import psutil

from parity.errors import CannotStart, one_line
from parity.system.console import say
from parity.system.scratch import scratch
from parity.system.streams import keep_streams

T = TypeVar("T")
HASH_SEED = "PYTHONHASHSEED"

# How long a process that has answered may take to end by itself.
GRACE_S = 10.0


class ProcessDied(CannotStart):
    """A process ended without an answer.

    Attributes:
        about: what it was about.
        code: its exit code, negative for a signal.
        how: the same in words.
    """

    def __init__(self, about: str, code: int | None) -> None:
        self.about, self.code = about, code
        cause = signal.Signals(-code).name if code and -code in set(signal.Signals) else f"exit code {code}"
        self.how = f"{cause}: out of memory, os._exit, or a crash of native code"
        super().__init__(f"{about}: the process that looked at it died ({self.how}).")

    def __reduce__(self) -> tuple[Any, ...]:
        return ProcessDied, (self.about, self.code)


def run_in_subprocess(
    work: Callable[..., T],
    *arguments: object,
    about: str,
    timeout: float | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> T:
    """Runs ``work(*arguments)`` in a fresh process, and ends with it everything that it started.

    Args:
        about: the subject of the sentences below.
        timeout: seconds that it may take; None for no limit.
        meanwhile: called here while it works.

    Raises:
        ProcessDied: it ended without an answer.
        CannotStart: it took longer than ``timeout``, or was ended by an exception that is no `Exception`, as
            ``sys.exit`` raises. Such a one never crosses into the driver, which would end without a verdict.
        Exception: whatever ``work`` raised.
    """
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_child, args=(sender, work, arguments))
    with scratch():
        with fixed_hash_seed():
            process.start()
        sender.close()
        result, error = _answer(process, receiver, about, timeout, meanwhile)
    if error is not None:
        raise error
    return result


def _answer(
    process: BaseProcess, receiver: Connection, about: str, timeout: float | None, meanwhile: Callable[[], object]
) -> Any:
    try:
        meanwhile()
        # The sentinel as well: a process that the user's code forked may hold the pipe open.
        if not wait([receiver, process.sentinel], timeout):
            raise CannotStart(
                f"{about}: not finished after {timeout:g} s, and ended; find what hangs there, or allow more with --timeout."
            )
        try:
            answer = receiver.recv() if receiver.poll() else None
        except EOFError:
            answer = None
        process.join(GRACE_S)
    finally:
        _end(process)
        receiver.close()
    if answer is None:
        raise ProcessDied(about, process.exitcode)
    return answer


@contextlib.contextmanager
def running_beside(work: Callable[..., None], *arguments: object, about: str, patience_s: float) -> Iterator[None]:
    """Runs ``work(over, *arguments)`` in a fresh process beside the block, and says what becomes of it where it fails.

    Args:
        work: is to return when the event ``over`` is set: the block has ended.
        about: the subject of the sentences.
        patience_s: how long it may take then; where the block raised, not longer than `GRACE_S`.
    """
    spawn = multiprocessing.get_context("spawn")
    over = spawn.Event()
    process = spawn.Process(target=_beside, args=(work, over, arguments))
    with scratch():
        with fixed_hash_seed():
            process.start()
        try:
            yield
        except BaseException:
            patience_s = min(patience_s, GRACE_S)
            raise
        finally:
            over.set()
            try:
                process.join(patience_s)
                if process.is_alive():
                    say(f"{about}: not finished {patience_s:g} s after the end, and ended")
                elif process.exitcode:
                    say(str(ProcessDied(about, process.exitcode)))
            finally:
                _end(process)


def _beside(work: Callable[..., None], over: Event, arguments: tuple[object, ...]) -> None:
    _begin()
    work(over, *arguments)


@contextlib.contextmanager
def fixed_hash_seed() -> Iterator[None]:
    """Processes that start inside hash alike, unless the user chose a seed.

    RLlib keeps agents in sets: the order of rows, and with it every share and place that parity tells, would differ from
    one start to the next.
    """
    if HASH_SEED in os.environ:
        yield
        return
    os.environ[HASH_SEED] = "0"
    try:
        yield
    finally:
        del os.environ[HASH_SEED]


def _begin() -> None:
    os.dup2(2, 1)  # stdout is for the driver's document
    keep_streams()
    live_with_driver()
    # This process began as `python -c`. RLlib's connectors ask `inspect.stack()` who makes them, which looks through all
    # modules, three times each, for one whose file is called so: with 4,000 of them 17 ms for each connector.
    inspect.modulesbyfile["<string>"] = "__main__"


def _child(sender: Connection, work: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    _begin()
    sender.send(answer_of(work, arguments))
    sender.close()
    # What ends with the process is not searched for cycles first: with PyTorch and Ray that takes a second.
    gc.freeze()


def answer_of(work: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, Exception | None]:
    """What ``work`` returns, or what it raised as an exception that can be sent; never raises."""
    try:
        return work(*arguments), None
    except Exception as error:
        return None, _that_can_be_sent(error)
    except BaseException as error:
        return None, CannotStart(f"{raised_at(error)}; code that is looked at may not end the process.")


def live_with_driver() -> None:
    """Called first in a process: from then on it ends when its driver does or says so, and no terminal's Ctrl-C reaches it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    wait([driver.sentinel])
    kill(os.getpid())


def _end(process: BaseProcess) -> None:
    assert process.pid is not None
    kill(process.pid)
    process.join()


def kill(pid: int) -> None:
    """Kills a process that called `live_with_driver`, with what it started, also what it left behind when it ended."""
    if hasattr(os, "killpg"):
        # Nothing is left of it, or it has not come to `os.setsid` yet.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in multiprocessing.active_children():
            if child.pid == pid:
                for each in [*psutil.Process(pid).children(recursive=True), child]:
                    each.kill()


def _that_can_be_sent(error: Exception) -> Exception:
    """The exception itself where it survives the way to the driver, else one of its sentence, with the traceback as a note.

    The driver knows no module of the user's, and runs nothing of them: only Python's exceptions and parity's, of plain values.
    """
    known = type(error).__module__.partition(".")[0] in ("builtins", "parity")
    try:
        if known and all(isinstance(each, str | int | float | None) for each in error.args):
            pickle.loads(pickle.dumps(error))
            return error
    except Exception:
        pass  # as one of its sentence
    sentence = RuntimeError(f"{type(error).__name__}: {one_line(error)}")
    sentence.add_note("".join(traceback.format_exception(error)))
    return sentence


def raised_at(error: BaseException) -> str:
    """``file.py, line 3, raised SystemExit(0)``, of the innermost line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}, " if frames else "it "
    try:
        return f"{place}raised {error!r}"
    except BaseException:  # a user's own, or of a user's values
        return f"{place}raised {type(error).__name__}"
