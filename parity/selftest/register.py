"""Planted bugs and good ports, by name: each is a small function or class with a decorator."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

from parity.errors import CannotStart
from parity.task import Task

Plant = Callable[[Task], Task]

# Importing them fills the register.
PARTS = (
    "parity.selftest.bugs.masks",
    "parity.selftest.bugs.module",
    "parity.selftest.bugs.network",
    "parity.selftest.bugs.environment",
    "parity.selftest.bugs.agents",
    "parity.selftest.bugs.config",
    "parity.selftest.bugs.connectors",
    "parity.selftest.bugs.learner",
    "parity.selftest.ports.modules",
    "parity.selftest.ports.rllibs_own",
    "parity.selftest.ports.agents",
    "parity.selftest.ports.environments",
    "parity.selftest.ports.games",
    "parity.selftest.field",
)


@dataclasses.dataclass(frozen=True)
class Bug:
    """One thing wrong in an otherwise good port.

    ``caught_by``: names of rungs or codes of findings that may catch it; a catch elsewhere is one at the wrong rung;
    ``full``: only `parity check --full` can see it.
    """

    name: str
    what: str
    caught_by: frozenset[str]
    plant: Plant
    full: bool = False


@dataclasses.dataclass(frozen=True)
class GoodPort:
    """A port that nobody may accuse, under any of ``frameworks``; ``what`` is unusual about it."""

    name: str
    what: str
    make: Callable[[], Task]
    frameworks: tuple[str, ...] = ("rllib", "rllib-exact")


BUGS: dict[str, Bug] = {}
GOOD_PORTS: dict[str, GoodPort] = {}


def bug(what: str, *caught_by: str, name: str | None = None, full: bool = False) -> Callable:
    """Registers a bug: a function ``plant(good port) -> port with the bug``, or a class that replaces a part of the port.

    ``name``: in place of the function's or class's own.
    """

    def register(planted: Any) -> Any:
        plant = _replacing(planted) if isinstance(planted, type) else planted
        key = name or _name(planted)
        assert key not in BUGS, key
        BUGS[key] = Bug(key, what, frozenset(caught_by), plant, full)
        return planted

    return register


def wrong(method: str, what: str, *caught_by: str) -> Callable:
    """Marks a function of a `planted` class as a bug: what stands in the place of ``method``."""

    def mark(function: Any) -> Any:
        function.bug = (method, what, caught_by)
        return function

    return mark


def planted(cls: type) -> type:
    """Registers a bug for each marked function of a class that is derived from a part of the good port."""
    for function in list(vars(cls).values()):
        if hasattr(function, "bug"):
            method, what, caught_by = function.bug
            name = "".join(map(str.capitalize, function.__name__.split("_")))
            variant = type(name, (cls,), {method: function, "__module__": cls.__module__})
            # Where pickle looks for it.
            setattr(sys.modules[cls.__module__], name, variant)
            bug(what, *caught_by)(variant)
    return cls


def good_port(what: str, name: str | None = None) -> Callable:
    """Registers a good port: a function ``make() -> port``, or a class that replaces a part of the usual one."""

    def register(made: Any) -> Any:
        key = name or _name(made)
        assert key not in GOOD_PORTS, key
        make = functools.partial(_good_port_with, made) if isinstance(made, type) else made
        GOOD_PORTS[key] = GoodPort(key, what, make)
        return made

    return register


def _name(entry: Any) -> str:
    """``mask_omitted`` and ``MaskOmitted`` are both called ``mask-omitted``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", entry.__name__).replace("_", "-").lower()


def _replacing(cls: type) -> Plant:
    def plant(port: Task) -> Task:
        from parity.selftest.good import with_class

        return with_class(port, cls)

    return plant


def _good_port_with(cls: type) -> Task:
    from parity.selftest.good import good_port

    return _replacing(cls)(good_port())


def load() -> None:
    """Fills the register."""
    for part in PARTS:
        importlib.import_module(part)


def select(names: list[str] | None) -> tuple[list[Bug], list[GoodPort]]:
    """The entries of these names, all of them for None.

    Raises:
        CannotStart: a name is unknown.
    """
    load()
    for name in names or []:
        if name not in BUGS and name not in GOOD_PORTS:
            raise CannotStart(
                f"--only {name}: there is no such bug or good port; `parity selftest --json` lists them with the score."
            )
    wanted = set(names) if names else None
    return (
        [bug for bug in BUGS.values() if wanted is None or bug.name in wanted],
        [good for good in GOOD_PORTS.values() if wanted is None or good.name in wanted],
    )
