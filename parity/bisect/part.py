"""What a port consists of, as plain data: nothing here imports a framework."""

from __future__ import annotations

import dataclasses

# Kinds, in the order in which guilty parts are told: what is code before what is a number.
KINDS = ("module", "environment", "agents", "connector", "class", "setting")


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a port that the reference port has too, so that the two can be exchanged.

    Attributes:
        key: its name on the command line and in files, as ``module.value`` or ``lr``.
        label: for a sentence after "your", with the user's own class or value in it.
        kind: one of `KINDS`.
        group: key of the group that is exchanged as a whole first; None for a part that stands alone.
        yours, reference: both values of a setting, in words; None for code.
    """

    key: str
    label: str
    kind: str
    group: str | None = None
    yours: str | None = None
    reference: str | None = None


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """The parts of one port.

    Attributes:
        task: id of the task.
        parts: what differs from the reference port and can be exchanged.
        fixed: what cannot be exchanged, a sentence each.
        unbuilt: for a port that raises before there is anything to take apart: which part does, in a sentence.
        traceback: of that.
    """

    task: str
    parts: tuple[Part, ...]
    fixed: tuple[str, ...] = ()
    unbuilt: str | None = None
    traceback: str = ""

    def part(self, key: str) -> Part:
        return next(part for part in self.parts if part.key == key)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(part.key for part in self.parts)

    def units(self) -> list[frozenset[str]]:
        """What is exchanged first: groups as a whole, parts that stand alone."""
        found: dict[str, set[str]] = {}
        for part in self.parts:
            found.setdefault(part.group or part.key, set()).add(part.key)
        return [frozenset(keys) for keys in found.values()]
