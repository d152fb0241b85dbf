"""The parts in which a port differs from the reference port, as plain data: nothing here imports a framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from parity.errors import in_words
from parity.results.bisect import Part

# Kinds, in the order in which culprits are told: code before numbers.
KINDS = ("module", "environment", "agents", "connector", "class", "setting")


@dataclasses.dataclass(frozen=True)
class PortParts:
    """What one port consists of."""

    task: str  # id of the task
    parts: tuple[Part, ...]  # what differs from the reference port and can be exchanged
    fixed: tuple[str, ...] = ()  # what cannot be exchanged, a sentence each
    # for a port that raises while it is built, a sentence that says which of the task's fields raises
    build_error: str | None = None

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(part.key for part in self.parts)

    def of(self, keys: Collection[str]) -> list[Part]:
        """The parts with these keys, in the port's order."""
        return [part for part in self.parts if part.key in keys]

    def are_settings(self, keys: Collection[str]) -> bool:
        """Whether these parts are fields of the configuration with a value, and no code."""
        return all(part.kind == "setting" for part in self.of(keys))

    def in_words(self, keys: Collection[str]) -> str:
        return in_words([f"your {part.label}" if part.kind == "setting" else part.label for part in self.of(keys)])

    def groups(self) -> list[frozenset[str]]:
        """The keys that are exchanged together at first: groups as a whole, other parts by themselves."""
        groups: dict[str, set[str]] = {}
        for part in self.parts:
            groups.setdefault(part.group or part.key, set()).add(part.key)
        return [frozenset(keys) for keys in groups.values()]
