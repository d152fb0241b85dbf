"""Frameworks by name. A name is found through the entry-point group ``parity.frameworks``; nothing is imported before."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from parity.errors import CannotStart, in_short

if TYPE_CHECKING:
    from parity.frameworks.base import Framework

GROUP = "parity.frameworks"
REFERENCE = "sb3"  # the framework that the others are compared with


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Registered names, the reference first."""
    return sorted(_entries(), key=lambda name: (name != REFERENCE, name))


def check_names(wanted: list[str], variants: bool = False) -> None:
    """Raises CannotStart for a name that is not registered, without importing anything.

    ``variants``: whether ``NAME:VARIANT`` may be asked for, as of `Framework.variants`.
    """
    for name in wanted:
        if name.partition(":")[0] not in _entries() or (":" in name and not variants):
            raise CannotStart(
                f"--frameworks {name}: no such framework; registered are {', '.join(names())}; another one comes with the "
                "package that brings its adapter."
            )


def get(name: str) -> Framework:
    """The adapter called ``name``, which may be ``NAME:VARIANT``.

    Raises:
        CannotStart: there is none, or a package that it needs is not installed.
    """
    check_names([name], variants=True)
    whole, (name, _, variant) = name, name.partition(":")
    entry = _entries()[name]
    try:
        framework: Framework = entry.load()()
        if variant and variant not in framework.variants:
            known = ", ".join(f"{name}:{each}" for each in framework.variants) or "none"
            raise CannotStart(f"--frameworks {whole}: no such variant; there are {known}.")
        framework.variant = variant or None
        return framework
    except ModuleNotFoundError as error:
        missing = (error.name or str(error)).partition(".")[0]
        if missing != error.name and missing in sys.modules:
            raise CannotStart(
                f"--frameworks {name}: the installed {missing} has no {error.name}; the versions that parity works with "
                "are in its README."
            ) from error
        raise CannotStart(
            f"--frameworks {name} needs the package {missing}, which is not installed{_remedy(entry)}."
        ) from error
    except (ImportError, AttributeError) as error:
        raise CannotStart(f"--frameworks {name} cannot be loaded from {entry.value}: {in_short(error)}.") from error


def _remedy(entry: EntryPoint) -> str:
    if entry.dist is None:
        return ""
    if entry.dist.name == "parity":
        return f": pip install 'parity[{entry.name.partition('-')[0]}]'"
    return f": install {entry.dist.name} with what it depends on"
