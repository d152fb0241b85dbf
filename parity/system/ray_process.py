"""Work that opens a Ray, in a process beside the command: a Ray that dies ends the process that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from parity.errors import CannotStart, Interrupted
from parity.system.console import console, say
from parity.system.ray_session import RAY_DIED, RayDied
from parity.system.subprocesses import ProcessDied, run_in_subprocess

T = TypeVar("T")
# A Ray that dies more often dies of something that lasts.
RAY_STARTS = 4


def run_with_ray(work: Callable[..., T], *arguments: object, about: str, unfinished: Callable[[], str]) -> T:
    """Runs ``work(*arguments)``, which opens a Ray and lets `ended_with_ray` watch it; where that died, with a new one.

    Whatever ends this process, or Ray, has to be safe at any moment: ``work`` writes files whole, and finds what is done. So
    nobody waits for anything when it ends.

    Args:
        about: the subject of sentences.
        unfinished: says what is left to do.

    Raises:
        Interrupted: Ray died too often.
        CannotStart: as ``work`` raised it with the first Ray.
    """
    for attempt in range(1, RAY_STARTS + 1):
        try:
            return run_in_subprocess(work, *arguments, about=about)
        except ProcessDied as death:
            if death.about != about and attempt > 1:  # one that it started, twice: no accident
                raise
            if death.code != RAY_DIED:
                say(str(death))
        except RayDied as error:
            say(str(error))
        except CannotStart as error:
            if attempt == 1:
                raise
            raise Interrupted(f"Ray died, and {str(error).rstrip('.')}; {unfinished()}") from error
        finally:
            console().show_cursor()  # a process that is killed while it shows its table leaves it hidden
        if attempt < RAY_STARTS:
            say(f"Starting Ray again, {attempt} of {RAY_STARTS - 1} times; what is done stays")
    raise Interrupted(f"Ray died {RAY_STARTS} times; {unfinished()}")
