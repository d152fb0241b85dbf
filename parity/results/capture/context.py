"""What all rungs share: the port's modules, the rows of their batches, both sides' configurations, and what raised."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, OBSERVED, ROLLOUT, Arrays, Captured


@dataclasses.dataclass(kw_only=True)
class Raised:
    """What a part of the collection raised; ``message`` is one line."""

    type: str
    message: str
    traceback: str = ""
    connector: str = ""  # class of the port's connector that raised it, or that made what RLlib's trips over
    place: str | None = None  # file, line and function outside of the frameworks, where it passed there
    function: str = ""  # that raised it

    def __str__(self) -> str:
        told = self.place is None or self.place in self.message
        return f"{self.type}: {self.message}" + ("" if told else f" ({self.place})")


@dataclasses.dataclass(kw_only=True)
class ModuleFacts:
    """One module of a port."""

    class_name: str
    runner_class: str | None = None  # of the env runner's copy
    value_function_api: bool = True  # it implements RLlib's ValueFunctionAPI
    compute_values: bool = True  # it has that method
    trained: bool = True  # the learner updates it
    parameters: dict[str, list[int]] = field(default_factory=dict)  # name -> shape
    frozen: list[str] = field(default_factory=list)  # parameters with requires_grad=False
    without_optimiser: list[str] = field(default_factory=list)  # trainable parameters that no optimiser of its holds
    phases: dict[str, str] = field(default_factory=dict)  # phase -> the method that computes it
    choices: list[int] | None = None  # options of each sub-action; None where MaskablePPO has no such actions
    distribution_inputs: int | None = None  # numbers that its distribution class takes; None where it does not say
    mask_in_space: bool = True  # its observation space has an entry for the mask
    mask_key: str = "action_mask"  # the name of that entry
    forward_columns: dict[str, list[str]] = field(default_factory=dict)  # phase -> what this forward pass returns
    batch_statistics: list[str] = field(default_factory=list)  # layers in training mode that normalise by their batch's
    batch_changed: list[str] = field(default_factory=list)  # entries of its batch that a forward pass changes
    unregistered_tensors: list[list[int]] = field(default_factory=list)  # shapes of those it learns and no module holds
    recurrent: bool = False  # RLlib keeps a state for it: its rows are those of sequences
    # phase -> what the module raised when it was asked for its action distribution's class
    no_distribution: dict[str, str] = field(default_factory=dict)
    reference: str | None = None  # "sb3": SB3's policy has the same weights; "module": it stands in for SB3's network
    settings: dict[str, Any] | None = None  # hyperparameters that SB3's side of it ran with, by PPOParams' names


@dataclasses.dataclass(kw_only=True)
class Correspondence:
    """Which parameter of SB3 is which of the port."""

    pairs: dict[str, str] = field(default_factory=dict)  # SB3's name -> the port's name; empty where there is none
    # SB3's weight [out, in] -> its column of each of the port's, where the port's layer gets its inputs in another order
    columns: dict[str, list[int]] = field(default_factory=dict)
    reason: str | None = None  # why there is none, in a sentence
    ambiguous: bool = False  # it is for want of telling parameters of one shape apart
    other_network: bool = False  # it is for parameters of another number or shape
    # SB3's name -> the port's of one shape, where not paired
    candidates: dict[str, list[str]] = field(default_factory=dict)


class Rows(Captured):
    """Which decision each row of a module's batch is, and the environment's side of it, written down in the environment."""

    PARTS = ROLLOUT
    OTHER_PARTS: ClassVar = {"observations": OBSERVED}

    valid: np.ndarray = ABSENT  # bool [R]; False for rows that are appended for bootstrapping
    # int64 [V], number of the episode chunk, in time order, cut at every end and at the rollout's
    chunk: np.ndarray = ABSENT
    agent: np.ndarray = ABSENT  # int64 [V], place in Context.agents
    env: np.ndarray = ABSENT  # int64 [V], sub-environment
    episode: np.ndarray = ABSENT  # int64 [V], number of the sub-environment's episode
    step: np.ndarray = ABSENT  # int64 [V], number of the agent's decision in it
    observations: Arrays = ABSENT  # [V, …] each
    mask: np.ndarray = ABSENT  # bool [V, n]; left out where the environment shows none
    action: np.ndarray = ABSENT  # [V] or [V, k]
    reward: np.ndarray = ABSENT  # float64 [V]
    terminated: np.ndarray = ABSENT  # bool [V]
    truncated: np.ndarray = ABSENT  # bool [V]


@dataclasses.dataclass(kw_only=True)
class Decisions:
    """How often an agent acted in the rollout, and how many of these decisions the learner's batch has."""

    played: int
    learned_from: int


@dataclasses.dataclass(kw_only=True)
class Configuration:
    """Effective hyperparameters of both sides, by PPOParams' names."""

    port: dict[str, Any]
    task: dict[str, Any]
    sb3: dict[str, Any]
    # "sb3", "port" -> name -> values in training
    schedules: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    optimizer: dict[str, str] = field(default_factory=dict)  # "sb3", "port" -> class and options, in words
    # what SB3's VecNormalize normalises: observations, rewards
    normalizes: dict[str, bool] = field(default_factory=dict)
    names: dict[str, str] | None = None  # PPOParams' name -> the framework's; only these are compared; None: RLlib's
    native: dict[str, Any] = field(default_factory=dict)  # settings of the framework that SB3 has nothing like
    untranslated: list[dict[str, Any]] = field(default_factory=list)  # {"field", "value", "reason"}
    # field that was set and that the framework never reads -> its value in words
    ignored: dict[str, str] = field(default_factory=dict)


@dataclasses.dataclass(kw_only=True)
class Context:
    """What is compared with what."""

    framework: str = ""
    task: str = ""
    device: str = "cpu"
    other_side: str = "SB3"  # whom the port is compared with, in sentences
    learning_module: str = ""
    learning_agent: str = ""
    agents: list[str] = field(default_factory=list)  # in the order of Rows.agent
    modules: dict[str, ModuleFacts] = field(default_factory=dict)  # empty where the port could not be built
    rows: dict[str, Rows] = field(default_factory=dict)  # of the trained modules
    raised: dict[str, Raised] = field(default_factory=dict)  # by part of the collection, in the order of time
    declared: dict[str, str] = field(default_factory=dict)  # what differs on purpose: code or field -> reason
    not_applicable: dict[str, str] = field(default_factory=dict)  # rung -> why this framework has no counterpart
    phases: dict[str, str] = field(default_factory=dict)  # phase -> what computes it in this framework
    configuration: Configuration | None = None  # None where the port could not be built, like `correspondence`
    correspondence: Correspondence | None = None
    sub_environments: int | None = None  # of the rollout; None where nothing was sampled
    decisions: dict[str, Decisions] | None = None  # by agent; None where nothing was sampled
    played_by: dict[str, dict[str, int]] = field(default_factory=dict)  # agent -> module -> rows
    # module -> {"batch", "decisions"} that don't fit together
    unplaced: dict[str, dict[str, int]] = field(default_factory=dict)
    # agent -> illegal actions before the environment stopped the rollout
    refused: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # sentences: what raised where the collection went on without it
    plays_task_env: bool = False  # what is played is the task's own environment: there is no other view to compare
