"""Planted bugs and good ports, by name: each is one small function with a decorator."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

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
)


@dataclasses.dataclass(frozen=True)
class Bug:
    """One thing wrong in an otherwise good port.

    Attributes:
        name: of the function, with hyphens.
        what: the bug in a sentence.
        caught_by: names of rungs or codes of findings that may catch it; a catch elsewhere is one at the wrong rung.
        plant: given the good port, returns it with the bug in it.
    """

    name: str
    what: str
    caught_by: frozenset[str]
    plant: Plant


@dataclasses.dataclass(frozen=True)
class GoodPort:
    """A port that nobody may accuse.

    Attributes:
        name: of the function, with hyphens.
        what: what is unusual about it, in a sentence.
        make: the port.
        frameworks: those that it is judged under; one with a learner of its own cannot be made exact.
    """

    name: str
    what: str
    make: Callable[[], Task]
    frameworks: tuple[str, ...] = ("rllib", "rllib-exact")


BUGS: dict[str, Bug] = {}
GOOD_PORTS: dict[str, GoodPort] = {}


def bug(what: str, *caught_by: str) -> Callable[[Plant], Plant]:
    """Registers ``plant(good port) -> port with a bug``."""

    def register(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", "-")
        assert name not in BUGS, name
        BUGS[name] = Bug(name, what, frozenset(caught_by), plant)
        return plant

    return register


def good_port(what: str, frameworks: tuple[str, ...] = ("rllib", "rllib-exact")) -> Callable:
    """Registers ``make() -> port``."""

    def register(make: Callable[[], Task]) -> Callable[[], Task]:
        name = make.__name__.replace("_", "-")
        assert name not in GOOD_PORTS, name
        GOOD_PORTS[name] = GoodPort(name, what, make, frameworks)
        return make

    return register


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
