"""What rungs read besides their own numbers, and the report that each of them fills in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from parity.ladder.difference import Difference, RowNames, elementwise
from parity.ladder.findings import RULES
from parity.ladder.findings.raw_finding import RawFinding
from parity.ladder.tolerances import Tolerance
from parity.results.capture import (
    Arrays,
    Captured,
    Configuration,
    Context,
    Correspondence,
    Missing,
    ModuleFacts,
    Rows,
    captured,
)
from parity.results.capture.base import BUILD

C = TypeVar("C", bound=Captured)

PHASES = ("exploration", "inference", "train")


@dataclasses.dataclass(frozen=True)
class RungInput:
    """What all rungs share: the context of the capture, and the tolerance of the device that it was computed on."""

    context: Context
    tolerance: Tolerance

    @property
    def other(self) -> str:
        """Whom the port is compared with, in sentences."""
        return self.context.other_side

    @property
    def learning(self) -> str:
        """Id of the learning agent's module."""
        return self.context.learning_module

    @property
    def module_facts(self) -> dict[str, ModuleFacts]:
        """By module.

        Raises:
            Missing: the port could not be built.
        """
        if not self.context.modules:
            raise Missing("modules", BUILD)
        return self.context.modules

    @property
    def configuration(self) -> Configuration:
        """Raises Missing where the port could not be built."""
        if self.context.configuration is None:
            raise Missing("configuration", BUILD)
        return self.context.configuration

    @property
    def is_old_stack(self) -> bool:
        """Whether the port is on RLlib's old API stack, which alone has filters of observations. Raises as `configuration`."""
        return "observation_filter" in self.configuration.native

    @property
    def correspondence(self) -> Correspondence:
        """Raises Missing where the port could not be built."""
        if self.context.correspondence is None:
            raise Missing("correspondence", BUILD)
        return self.context.correspondence

    def modules(self) -> list[str]:
        """Ids of the trained modules that are compared, the learning agent's first. Raises `Missing` like `module_facts`."""
        left_out = {*self.incomparable_modules(), *self.unused_modules()}
        trained = [module for module, facts in self.module_facts.items() if facts.trained and module not in left_out]
        return sorted(trained, key=lambda module: module != self.learning)

    def incomparable_modules(self) -> list[str]:
        """Ids of trained modules with actions that MaskablePPO does not have: nothing of theirs can be compared."""
        return [module for module, facts in self._other_trained() if facts.choices is None]

    def unused_modules(self) -> list[str]:
        """Ids of other modules that are to be trained and to which policy_mapping_fn gives no decision."""
        if not self.was_sampled:
            return []
        played = {module for rows in self.context.played_by.values() for module, count in rows.items() if count}
        return [module for module, _ in self._other_trained() if module not in played]

    @property
    def was_sampled(self) -> bool:
        """Whether a rollout was collected and became a batch."""
        return self.context.decisions is not None and "batch" not in self.context.raised

    def _other_trained(self) -> list[tuple[str, ModuleFacts]]:
        return [item for item in self.module_facts.items() if item[1].trained and item[0] != self.learning]

    def attempt(self, report: RungReport, check: Callable[..., None], *arguments: Any) -> None:
        """Runs ``check(*arguments)``; where a number is missing for it, the report says why, and other checks go on."""
        try:
            check(*arguments)
        except Missing as missing:
            report.misses(self._reason(missing))

    def _reason(self, missing: Missing) -> str:
        """The first part of the collection that raised before the number could be collected, in words."""
        for part in missing.parts:
            for name in (f"{part} {missing.module}", part):
                if name in self.context.raised:
                    return f"{name} raised {self.context.raised[name]}"
        return f"{missing.module or ''} {missing}".strip()


@dataclasses.dataclass
class RungReport:
    """What one rung saw."""

    rung: int  # its number
    differences: list[Difference] = dataclasses.field(default_factory=list)  # all comparisons that decide about it
    findings: list[RawFinding] = dataclasses.field(default_factory=list)  # what it reports
    # differences that the framework has by design, in words
    explained: list[str] = dataclasses.field(default_factory=list)
    shares: dict[str, float] = dataclasses.field(default_factory=dict)  # of the update, by what makes the difference
    skipped: list[str] = dataclasses.field(default_factory=list)  # why it has no counterpart in this port
    missing: list[str] = dataclasses.field(default_factory=list)  # why a part of it could not run

    def compare(self, difference: Difference) -> bool:
        """Counts a comparison; whether it holds."""
        self.differences.append(difference)
        return bool(difference)

    def misses(self, reason: str) -> None:
        """Notes once why a part of the rung could not run."""
        if reason not in self.missing:
            self.missing.append(reason)

    def add_share(self, name: str, value: float) -> None:
        """Of several modules' shares of one name, the largest counts."""
        self.shares[name] = max(self.shares.get(name, 0.0), value)

    def report(
        self, code: str, where: str, message: str, evidence: dict[str, Any] | None = None, **options: Any
    ) -> RawFinding:
        """Adds a finding; the arguments are `RawFinding`'s, and its severity the rule's where none is given."""
        options.setdefault("severity", RULES[code].severity)
        finding = RawFinding(code, self.rung, where, message, evidence or {}, **options)
        self.findings.append(finding)
        return finding


@dataclasses.dataclass(frozen=True)
class ModuleCheck:
    """One module on one rung: what its checks read besides the rung's numbers, and the report that they fill in."""

    inputs: RungInput
    module: str
    rung: RungReport

    @property
    def facts(self) -> ModuleFacts:
        return self.inputs.module_facts[self.module]

    @property
    def other(self) -> str:
        """Whom the port is compared with, in sentences."""
        return self.inputs.other

    @property
    def choices(self) -> list[int] | None:
        """Number of options of each sub-action."""
        return self.facts.choices

    @property
    def settings(self) -> dict[str, Any]:
        """Hyperparameters that SB3's side of the module ran with, by PPOParams' names.

        Raises:
            Missing: it did not run.
        """
        if self.facts.settings is None:
            raise Missing("settings", BUILD, self.module)
        return self.facts.settings

    @property
    def rows(self) -> Rows:
        """Empty where it is not known which row of the batch is which decision."""
        return captured(self.inputs.context.rows, Rows, self.module)

    @property
    def mask(self) -> np.ndarray | None:
        """bool ``[V, n]``, as the environment showed it; None where it shows none."""
        return self.rows.optional("mask")

    @property
    def tolerance(self) -> Tolerance:
        return self.inputs.tolerance

    @property
    def is_learning(self) -> bool:
        """Whether it is the learning agent's."""
        return self.module == self.inputs.learning

    @property
    def has_sb3_network(self) -> bool:
        """Whether SB3's side has a network of its own with corresponding weights, and not the port's module itself."""
        return self.facts.reference == "sb3"

    @property
    def label(self) -> str:
        """The module's name before a sentence, where there are several."""
        return f"{self.module}: " if len(self.inputs.modules()) > 1 else ""

    def place(self, row: int) -> str:
        """Whose decision a row stands for, in words."""
        columns = {name: self.rows.optional(name) for name in ("agent", "env", "episode", "step")}
        if any(column is None or row >= len(column) for column in columns.values()):
            return f"row {row}"
        at = {name: int(column[row]) for name, column in columns.items()}
        agent = self.inputs.context.agents[at["agent"]]
        return f"agent {agent}, sub-environment {at['env']}, episode {at['episode']}, step {at['step']}"

    def was_asked_for_scaled_weights(self, numbers: Captured) -> bool:
        """Whether numbers with scaled weights were asked for: not every framework has them. ``numbers``: has ``scaled``."""
        return f"scaled weights {self.module}" in self.inputs.context.raised or numbers.has("scaled")

    def by_port_names(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """SB3's arrays by the port's parameter names."""
        if self.has_sb3_network:
            # One without a counterpart moves no output.
            pairs = self.inputs.correspondence.pairs
            return {pairs[name]: array for name, array in arrays.items() if name in pairs}
        return {name.removeprefix("network.module."): array for name, array in arrays.items()}

    def without_dead(self, arrays: Arrays, sensitivity: Arrays | None) -> Arrays:
        """A port's parameters without those that SB3 does not have and that change no output."""
        if not self.has_sb3_network:
            return arrays
        paired, moves = set(self.inputs.correspondence.pairs.values()), sensitivity or {}
        return {name: each for name, each in arrays.items() if name in paired or moves.get(name, np.ones(2)).any()}

    def difference(
        self,
        value: np.ndarray,
        reference: np.ndarray,
        name: str,
        rows: RowNames | None = None,
        terms: np.ndarray | None = None,
    ) -> Difference:
        """Elementwise, in units of the reference's magnitude; places are named by agent, episode and step.

        ``terms``: what the reference is a sum of, where that may be larger.
        """
        summed = reference if terms is None else np.append(reference, terms)
        return elementwise(value, reference, scaled(self.tolerance, summed), name, rows or self.place)

    def report(
        self, code: str, at: str | None, message: str, evidence: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Adds a finding of this module. ``at``: the place in it, in words; ``options``: see `RungReport.report`."""
        where = f"module {self.module}, {at}" if at else f"module {self.module}"
        self.rung.report(code, where, message, evidence, module=self.module, **options)

    def report_parameters(self, code: str, names: list[str], words: str, evidence: Any = None) -> None:
        """Adds a finding of these parameters, where there are any. ``words``: what is wrong with so many of them."""
        if names:
            listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
            message = f"{len(names)} {words}: {listed}"
            self.report(code, f"parameter {names[0]}", message, {"parameters": evidence or names})

    def require(
        self,
        difference: Difference,
        code: str,
        message: str,
        at: str | None = None,
        evidence: dict[str, Any] | None = None,
        fix: str | None = None,
    ) -> bool:
        """Counts a comparison; where it does not hold, adds a finding with its figures. Returns whether it holds."""
        if self.rung.compare(difference):
            return True
        self.report(code, at, message, {**(evidence or {}), **figures(difference)}, fix=fix)
        return False


def check_modules(
    rung: int,
    inputs: RungInput,
    capture: dict[str, C],
    kind: type[C],
    *checks: Callable[[ModuleCheck, C], None],
) -> RungReport:
    """A rung's report: every check on the numbers of every module that is compared."""
    report = RungReport(rung)

    def check_all() -> None:
        for module in inputs.modules():
            for check in checks:
                inputs.attempt(report, check, ModuleCheck(inputs, module, report), captured(capture, kind, module))

    inputs.attempt(report, check_all)
    return report


def figures(difference: Difference) -> dict[str, Any]:
    """A difference as evidence of a finding."""
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


def finite_rows(array: np.ndarray) -> np.ndarray:
    """bool ``[rows]``: whether all of a row is finite."""
    return np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
