"""What all captured numbers have in common: reading one that was not collected raises `Missing`."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np

Arrays = dict[str, np.ndarray]
"""By the name of a parameter, or of an entry of an observation (``observations`` where it is no Dict)."""

Parts = tuple[str, ...]
# The parts of a collection that a number passes through, in the order in which they are run. A module's id follows the part's
# name in `Context.raised`, but for those that all modules have in common.
BUILD: Parts = ("build",)
VIEW: Parts = ("build", "view")
ROLLOUT: Parts = ("build", "sample", "batch")
OBSERVED: Parts = (*ROLLOUT, "observations")
SPACE: Parts = ("build", "space")
SB3_SPACE: Parts = (*SPACE, "sb3 space")
SCALED: Parts = (*SPACE, "sample", "batch", "scaled weights")
UNIT: Parts = (*OBSERVED, "unit weights")
FORWARD: Parts = (*OBSERVED, "forward")
SENSITIVITY: Parts = (*OBSERVED, "sensitivity")
UPDATE: Parts = (*OBSERVED, "update")
SB3: Parts = (*OBSERVED, "sb3")
SB3_UPDATE: Parts = (*FORWARD, "update", "sb3")


class Missing(Exception):
    """A number that should be there is not: ``what``, the ``parts`` that it passes through, the ``module`` that it is of."""

    def __init__(self, what: str, parts: Parts = (), module: str | None = None) -> None:
        super().__init__(f"{what} was not collected")
        self.what, self.parts, self.module = what, parts, module


ABSENT: Any = None
"""The default of a field that a collector fills in."""


@dataclass_transform(kw_only_default=True, eq_default=False)
@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Captured:
    """Numbers of one kind, in a dataclass. Reading a field that was not filled in raises `Missing`.

    ``PARTS``: those that its numbers pass through; ``OTHER_PARTS``: of single fields, where it is another way.
    """

    PARTS: ClassVar[Parts] = ()
    OTHER_PARTS: ClassVar[dict[str, Parts]] = {}

    module: str | None = None

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if value is None and name != "module" and name in type(self).__dataclass_fields__:
            raise Missing(f"{type(self).__name__}.{name}", self.OTHER_PARTS.get(name, self.PARTS), self.module)
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(name for name, value in vars(self).items() if value is not None)})"

    def optional(self, name: str) -> Any:
        """The field, or None where it was not filled in."""
        assert name in type(self).__dataclass_fields__, name
        return vars(self)[name]

    def has(self, *names: str) -> bool:
        """Whether all these fields were filled in."""
        return all(self.optional(name) is not None for name in names)

    def entry(self, name: str, key: str) -> Any:
        """``key``'s entry of the field ``name``, a dict.

        Raises:
            Missing: there is no such field or entry.
        """
        entries = getattr(self, name)
        if key not in entries:
            parts = self.OTHER_PARTS.get(name, self.PARTS)
            raise Missing(f"{type(self).__name__}.{name} of {key}", parts, self.module)
        return entries[key]


C = TypeVar("C", bound=Captured)


def captured(by_module: dict[str, C], kind: type[C], module: str) -> C:
    """A module's numbers; empty ones, of which reading any raises `Missing`, where nothing of it was collected."""
    return by_module.get(module) or kind(module=module)
