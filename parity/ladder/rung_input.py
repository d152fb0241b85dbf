"""A port's numbers as the rungs read them, and the sheet that each rung fills in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from parity.ladder.difference import Difference, Rows, elementwise
from parity.ladder.findings import RULES
from parity.ladder.findings.raw_finding import RawFinding
from parity.ladder.tolerances import Tolerance
from parity.results.capture import Numbers
from parity.results.summary import Severity

PHASES = ("exploration", "inference", "train")


class Missing(Exception):
    """A number that should be there is not; ``str`` says which part of the port raised, where one did."""


@dataclasses.dataclass(frozen=True)
class RungInput:
    """One port's numbers.

    Attributes:
        numbers: as collected.
        tolerance: of the device that they were computed on.
    """

    numbers: Numbers
    tolerance: Tolerance

    @property
    def facts(self) -> dict[str, Any]:
        return self.numbers.facts

    @property
    def learning(self) -> str:
        """Id of the learning agent's module."""
        return str(self.facts["learning_module"])

    def modules(self) -> list[str]:
        """Ids of the trained modules, the learning agent's first.

        Raises:
            Missing: the port could not be built.
        """
        facts, others = self.fact("modules", parts=("build",)), {*self.beyond(), *self.idle()}
        trained = [module for module, about in facts.items() if about["trained"] and module not in others]
        return sorted(trained, key=lambda module: module != self.learning)

    def beyond(self) -> list[str]:
        """Ids of trained modules with actions that MaskablePPO does not have: nothing of theirs can be compared."""
        facts = self.fact("modules", parts=("build",))
        return [m for m, about in facts.items() if about["trained"] and about["choices"] is None and m != self.learning]

    def idle(self) -> list[str]:
        """Ids of modules, not the learning agent's, that are to be trained and that policy_mapping_fn gives nothing to do."""
        if "decisions" not in self.facts or "batch" in self.facts["raised"]:
            return []
        played = {m for by in self.facts.get("played_by", {}).values() for m, rows in by.items() if rows}
        facts = self.fact("modules", parts=("build",))
        return [m for m, about in facts.items() if about["trained"] and m not in played and m != self.learning]

    def frozen(self) -> list[str]:
        return [module for module, about in self.fact("modules", parts=("build",)).items() if not about["trained"]]

    def label(self, module: str) -> str:
        """The module's name before a sentence, where there are several."""
        return f"{module}: " if len(self.modules()) > 1 else ""

    def about(self, module: str) -> dict[str, Any]:
        """Facts of a module: class, parameters, choices, …"""
        return self.fact("modules", parts=("build",))[module]

    def settings(self, module: str) -> dict[str, Any]:
        """Hyperparameters that the counterpart ran with, by PPOParams' names."""
        return self.fact("settings", parts=("build",))[module]

    def fact(self, name: str, parts: Iterable[str] = ()) -> Any:
        if name not in self.facts:
            raise Missing(self._why(name, parts))
        return self.facts[name]

    def need(self, name: str) -> np.ndarray:
        """An array that has to be there.

        Raises:
            Missing: it is not.
        """
        array = self.numbers.get(name)
        if array is None:
            raise Missing(self._why(name, _parts(name)))
        return array

    def need_below(self, folder: str) -> dict[str, np.ndarray]:
        """The arrays under a path.

        Raises:
            Missing: there is none.
        """
        arrays = self.numbers.below(folder)
        if not arrays:
            raise Missing(self._why(folder, _parts(folder)))
        return arrays

    def rows(self, module: str) -> Rows:
        """Decision number -> whose decision it is, in words."""
        columns = {name: self.numbers.get(f"{module}/rows/{name}") for name in ("agent", "env", "episode", "step")}
        agents = self.facts.get("agents", [])

        def place(row: int) -> str:
            if any(column is None or row >= len(column) for column in columns.values()):
                return f"row {row}"
            at = {name: int(column[row]) for name, column in columns.items() if column is not None}
            return (
                f"agent {agents[at['agent']]}, sub-environment {at['env']}, episode {at['episode']}, step {at['step']}"
            )

        return place

    def is_same_network(self, module: str) -> bool:
        """Whether SB3's side is its own network with corresponding weights, and not the port's module itself."""
        return self.facts.get("sb3_policy", {}).get(module) == "sb3"

    def has_grown(self, module: str) -> bool:
        """Whether numbers with grown weights were asked for: not every framework has them."""
        raised = f"grown {module}" in self.facts.get("raised", {})
        return raised or bool(self.numbers.below(f"{module}/grown"))

    def counted(self, module: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A port's parameters without those that SB3 has not and that reach no output."""
        if not self.is_same_network(module):
            return arrays
        paired, reach = set(self.facts["correspondence"]["pairs"].values()), self.numbers.below(f"{module}/reach")
        return {name: each for name, each in arrays.items() if name in paired or reach.get(name, np.ones(2)).any()}

    def as_ports(self, module: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """SB3's arrays by the port's parameter names."""
        pairs = self.facts["correspondence"]["pairs"] if self.is_same_network(module) else {}
        return {pairs.get(name) or name.removeprefix("network.module."): array for name, array in arrays.items()}

    def _why(self, name: str, parts: Iterable[str]) -> str:
        raised = self.facts.get("raised", {})
        for part in parts:
            if part in raised:
                return f"{part} raised {raised[part]['type']}: {raised[part]['message']}"
        return f"{name} was not collected"


def _parts(name: str) -> list[str]:
    """The parts of the collection that an array passes through, first to last."""
    if name.startswith("view/"):
        return ["build", "view"]
    module, _, rest = name.partition("/")
    if rest.startswith(("grown", "sb3/grown")):
        return ["build", f"space {module}", "sample", "batch", f"grown {module}"]
    if rest.startswith("sb3/space"):
        return ["build", f"space {module}", f"sb3 space {module}"]
    if rest.startswith("space"):
        return ["build", f"space {module}"]
    earlier = ["build", "sample", "batch", f"observations {module}"]
    if rest.startswith("sb3/f"):
        return [*earlier, f"forward {module}", "update", f"sb3 {module}"]
    if rest.startswith("sb3"):
        return [*earlier, f"sb3 {module}"]
    if rest.startswith("update"):
        return [*earlier, "update"]
    if rest.startswith("reach"):
        return [*earlier, f"reach {module}"]
    return [*earlier, f"forward {module}"]


@dataclasses.dataclass
class RungReport:
    """What one rung saw.

    Attributes:
        rung: its number.
        differences: all comparisons that decide about it.
        found: its findings.
        explained: differences that the framework has by design, in words.
        shares: of the update, by what makes the difference.
        skipped: why it has no counterpart in this port.
        missing: why a part of it could not run.
    """

    rung: int
    differences: list[Difference] = dataclasses.field(default_factory=list)
    found: list[RawFinding] = dataclasses.field(default_factory=list)
    explained: list[str] = dataclasses.field(default_factory=list)
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    skipped: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)

    def compare(self, difference: Difference) -> bool:
        """Counts a comparison; whether it holds."""
        self.differences.append(difference)
        return bool(difference)

    def report(
        self,
        code: str,
        where: str,
        message: str,
        evidence: dict[str, Any] | None = None,
        *,
        module: str | None = None,
        severity: Severity | None = None,
        fix: str | None = None,
        explains: tuple[str, ...] = (),
        declared: str | None = None,
    ) -> None:
        self.found.append(
            RawFinding(
                code=code,
                rung=self.rung,
                where=where,
                message=message,
                evidence=evidence or {},
                severity=severity or RULES[code].severity,
                module=module,
                fix=fix,
                explains=explains,
                declared=declared,
            )
        )


def figures(difference: Difference) -> dict[str, Any]:
    """A difference as evidence."""
    return {
        "max_abs": difference.max_abs,
        "max_rel": difference.max_rel,
        "tolerance_needed": difference.tolerance_needed,
        "at": difference.where,
    }


def scaled(tolerance: Tolerance, reference: np.ndarray) -> Tolerance:
    """The absolute tolerance in units of the reference's largest magnitude, where that is above 1.

    A sum of float32 terms is as accurate as its largest term; a small result of large terms is not wrong for that.
    """
    finite = np.abs(reference[np.isfinite(reference)])
    magnitude = max(1.0, float(finite.max(initial=0.0)))
    return dataclasses.replace(tolerance, absolute=tolerance.absolute * magnitude)


def compare_column(
    evidence: RungInput, module: str, value: np.ndarray, reference: np.ndarray, name: str, rows: Rows | None = None
) -> Difference:
    """Elementwise, in units of the reference's magnitude, places named by agent, episode and step."""
    return elementwise(value, reference, scaled(evidence.tolerance, reference), name, rows or evidence.rows(module))
