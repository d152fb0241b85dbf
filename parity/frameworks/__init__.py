"""Frameworks by name. A name is found through the entry-point group ``parity.frameworks``; nothing is imported before."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from parity.errors import CannotStart

if TYPE_CHECKING:
    from parity.frameworks.base import Framework

GROUP = "parity.frameworks"
REFERENCE = "sb3"  # the framework that the others are compared with


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Registered names, the reference first."""
    return sorted(_entries(), key=lambda name: (name != REFERENCE, name))


def check_names(wanted: list[str]) -> None:
    """Raises CannotStart for a name that is not registered, without importing anything."""
    for name in wanted:
        if name not in _entries():
            raise CannotStart(f"--frameworks {name}: no such framework; registered are {', '.join(names())}.")


def get(name: str) -> Framework:
    """The adapter called ``name``.

    Raises:
        CannotStart: there is none, or a package that it needs is not installed.
    """
    check_names([name])
    try:
        return _entries()[name].load()()
    except ModuleNotFoundError as error:
        raise CannotStart(
            f"--frameworks {name} needs the package {(error.name or str(error)).partition('.')[0]}, which is not "
            f"installed: pip install 'parity[{name.partition('-')[0]}]'."
        ) from error
