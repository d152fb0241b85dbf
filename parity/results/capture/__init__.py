"""What the ladder compares of one framework and one task: a dataclass for each rung, stored by ``capture_file``.

A collector (``parity.capture``) fills in what it has. Each rung (``parity.ladder.rungs``) takes the `Context` and its own
class, and nothing else. Reading a number that was not collected raises `Missing`, so that nothing is compared with what is not
there; ``optional`` reads one that a framework need not have.

In the shapes below ``R`` counts the rows of the learner's batch of a module, bootstrap rows included; ``V`` those of them that
stand for decisions; ``S`` observations drawn within what the environment showed; ``n`` is the number of logits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field

from parity.results.capture.algorithm import AlgorithmRun, CallbackChange, OtherEnvironment, Replica, ThroughAlgorithm
from parity.results.capture.base import Arrays, Captured, Missing, captured
from parity.results.capture.context import Configuration, Context, Correspondence, Decisions, ModuleFacts, Raised, Rows
from parity.results.capture.contract import (
    Breach,
    Connector,
    Contract,
    EnvContract,
    LaterSamples,
    Resets,
    View,
    ViewSide,
)
from parity.results.capture.forward import (
    ChosenActions,
    Control,
    Distribution,
    Forward,
    RandomObservations,
    ScaledWeights,
    UnitWeights,
)
from parity.results.capture.lockstep import Lockstep, LockstepSide
from parity.results.capture.rollout import InstalledFormula, Returns, Rollout
from parity.results.capture.update import Gradient, Loss, LossTerms, Step, Stress, Update

__all__ = [
    "AlgorithmRun", "Arrays", "Breach", "CallbackChange", "Capture", "Captured", "ChosenActions", "Configuration",
    "Connector", "Context", "Contract", "Control", "Correspondence", "Decisions", "Distribution", "EnvContract",
    "Forward", "Gradient", "InstalledFormula", "LaterSamples", "Lockstep", "LockstepSide", "Loss", "LossTerms",
    "Missing", "ModuleFacts", "OtherEnvironment", "Raised", "RandomObservations", "Replica", "Resets", "Returns",
    "Rollout", "Rows", "ScaledWeights", "Step", "Stress", "ThroughAlgorithm", "UnitWeights", "Update", "View",
    "ViewSide", "captured",
]  # fmt: skip


@dataclasses.dataclass(kw_only=True)
class Capture:
    """One framework and one task: the context, and for each rung what it compares (by module from rung 1 to rung 8)."""

    context: Context = field(default_factory=Context)
    contract: Contract = field(default_factory=Contract)
    forward: dict[str, Forward] = field(default_factory=dict)
    distribution: dict[str, Distribution] = field(default_factory=dict)
    rollout: dict[str, Rollout] = field(default_factory=dict)
    returns: dict[str, Returns] = field(default_factory=dict)
    installed_formula: InstalledFormula | None = None
    loss: dict[str, Loss] = field(default_factory=dict)
    gradient: dict[str, Gradient] = field(default_factory=dict)
    step: dict[str, Step] = field(default_factory=dict)
    update: dict[str, Update] = field(default_factory=dict)
    lockstep: Lockstep | None = None
    algorithm: AlgorithmRun | None = None
    control: dict[str, Control] = field(default_factory=dict)  # where the device is another than the CPU
