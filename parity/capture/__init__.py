"""Collects what the ladder compares of one framework: runs it, and judges nothing.

A framework's numbers are collected by the function that is registered under its name, or that of an adapter class it derives
from, in the entry-point group ``parity.capture``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from parity import frameworks
from parity.capture.raised import raised
from parity.errors import CannotStart
from parity.results.capture import Capture, Context
from parity.task.masks import check_env

if TYPE_CHECKING:
    from parity.capture.checkpoint import Checkpoint
    from parity.frameworks.base import Framework
    from parity.task import Task

GROUP = "parity.capture"


class Collector(Protocol):
    """Collects one short rollout and update of ``task`` by ``framework``, and SB3's on the same rows; nothing is judged.

    Args:
        lockstep: whole iterations to run in lockstep with SB3; None runs a few short ones.
        full: also through the framework's own training loop, with all the processes that the port asks for.

    Raises:
        CannotStart: the task cannot be run by this framework.
    """

    def __call__(
        self, framework: Framework, task: Task, device: str, lockstep: int | None = None, full: bool = False
    ) -> Capture: ...


def collector(framework: Framework) -> Collector | None:
    """The collector that is registered for a framework; None where there is none: its rungs are not applicable."""
    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    for each in type(framework).__mro__:
        name = each.__dict__.get("name")
        if name in registered:
            return registered[name].load()
    return None


def collect(
    task: Task,
    name: str,
    device: str,
    lockstep: int | None = None,
    full: bool = False,
    checkpoint: Checkpoint | None = None,
) -> Capture | None:
    """Collects by a framework's collector; what the port raises before it begins is noted like all else that it raises.

    None where nothing is registered for the framework. ``lockstep`` and ``full`` as for `Collector`; ``checkpoint``: the
    weights to compare at, where the framework's collector takes them.

    Raises:
        CannotStart: the task cannot be run by this framework.
    """

    def collected() -> Capture | None:
        framework = frameworks.get(name)
        framework.checkpoint = checkpoint
        of_framework = collector(framework)
        if of_framework is None:
            return None
        # After the import, which sets it; deprecations inside RLlib are not the reader's.
        logging.getLogger("ray.rllib").setLevel(logging.ERROR)
        return of_framework(framework, task, device, lockstep, full)

    return _as_far_as_it_comes(task, name, collected)


def against_old_stack(task: Task) -> Capture | None:
    """As `collect`, of RLlib's new API stack with the port's old one in SB3's place.

    Raises:
        CannotStart: the task's port cannot be run on one of them.
    """

    def collected() -> Capture:
        frameworks.get("rllib-old-stack")  # says whether there is one
        from parity.capture.rllib_old_stack.against_new import capture_old_against_new

        logging.getLogger("ray.rllib").setLevel(logging.ERROR)
        return capture_old_against_new(task)

    return _as_far_as_it_comes(task, "rllib", collected)


def _as_far_as_it_comes(task: Task, name: str, collected: Callable[[], Capture | None]) -> Capture | None:
    """A port that raises is compared as far as it comes; an environment that cannot be played compares nothing."""
    try:
        check_env(task.env, task.mask, f"Task {task.id}")
        capture = collected()
    except CannotStart:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        context = Context(framework=name, declared=dict(task.declared), raised={"build": raised(error)})
        capture = Capture(context=context)
    if capture is not None:
        capture.context.task = task.id
    return capture
