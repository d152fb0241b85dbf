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


# --- what all rungs share


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
    reason: str | None = None  # why there is none, in a sentence
    ambiguous: bool = False  # it is for want of telling parameters of one shape apart
    other_network: bool = False  # it is for parameters of another number or shape
    candidates: dict[str, list[str]] = field(
        default_factory=dict
    )  # SB3's name -> the port's of one shape, where not paired


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
    refused: dict[str, int] = field(
        default_factory=dict
    )  # agent -> illegal actions before the environment stopped the rollout
    notes: list[str] = field(default_factory=list)  # sentences: what raised where the collection went on without it
    plays_task_env: bool = False  # what is played is the task's own environment: there is no other view to compare


# --- rung 0, contract


class ViewSide(Captured):
    """What the learning agent meets on one side: a row per decision and one per end, rewards and ends as they led there."""

    PARTS = VIEW

    observations: Arrays = ABSENT  # [rows, …] each, without the mask
    mask: np.ndarray = ABSENT  # bool [rows, n]
    reward: np.ndarray = ABSENT  # float64 [rows]; 0 at a reset
    terminated: np.ndarray = ABSENT  # bool [rows]
    truncated: np.ndarray = ABSENT  # bool [rows]


@dataclasses.dataclass(kw_only=True)
class View:
    """The learning agent's view of the multi-agent environment beside the single-agent environment, on the same moves."""

    spaces: str | None = None  # what differs between the spaces' tensors
    bounds: str | None = None  # what differs between bounds alone
    stopped: dict[str, str] = field(default_factory=dict)  # episode -> what the multi-agent side raised
    unlike: str | None = None  # what a second single-agent environment raised where the first did not
    unreadable_mask: str | None = None  # why the multi-agent side's mask is none
    shared_arrays: bool = False  # successive observations of the learning agent share memory
    unrepeatable: str | None = None  # where a new multi-agent environment parts from this one on the same calls
    played_otherwise: str | None = None  # the same, from one of the rollout
    unseeded_starts: dict[str, int] = field(default_factory=dict)  # side -> how many of a few unseeded resets differ
    reseeds: list[str] = field(
        default_factory=list
    )  # sides on which two copies start later, unseeded episodes differently
    made_repeatable: bool | None = (
        None  # whether parity.Repeatable mends that of the single-agent side; None: not tried
    )
    distinct_starts: int = 0  # how many different observations the single-agent environment starts with, over the seeds
    convention: str = ""  # where the single-agent environment's mask is taken from
    contradictions: dict[str, int] = field(default_factory=dict)  # place of another mask -> how often it differed
    episode: np.ndarray | None = None  # int64 [rows]; None where nothing could be played
    step: np.ndarray | None = None  # int64 [rows]; 0 is the reset
    single: ViewSide = field(default_factory=ViewSide)
    again: ViewSide = field(default_factory=ViewSide)  # a second single-agent environment
    multi: ViewSide = field(default_factory=ViewSide)


@dataclasses.dataclass(kw_only=True)
class LaterSamples:
    """Many small samples of an env runner with the port's callbacks."""

    samples: int = 0
    rewards: str | None = None  # where the episodes first hold another reward than the environment paid
    plays_otherwise: str | None = None  # where a new environment first parts from the one that was sampled


@dataclasses.dataclass(kw_only=True)
class Breach:
    """The first breach of its kind of the multi-agent environment's contract, and how many there were."""

    agent: str
    place: str
    detail: str
    times: int = 1


@dataclasses.dataclass(kw_only=True)
class EnvContract:
    """Whether the environment keeps to what RLlib's episodes need; ``parity.capture.rllib.env_contract`` has the kinds."""

    possible: list[str]  # agents
    seen: dict[str, int]  # agent -> observations that it was given
    episodes: int  # begun
    breaches: dict[str, Breach] = field(default_factory=dict)  # by kind


@dataclasses.dataclass(kw_only=True)
class Resets:
    """How the rollout's sub-environments were reset: for each, one entry per episode."""

    seeds: list[list[int | None]]  # what reset was given
    starts: list[list[str]] = field(default_factory=list)  # a hash of what it returned
    shared_arrays: list[str] = field(default_factory=list)  # agents of which successive observations share memory


@dataclasses.dataclass(kw_only=True)
class Connector:
    """What one of the port's own env-to-module connectors makes of the learning agent's observation space."""

    name: str  # of its class
    per_agent: bool = True  # what it gives is still an observation for each agent
    loses_mask: bool = False  # the entry action_mask is there before it and not behind it
    moves_mask_to: str | None = None  # path of the entry that holds the mask then
    changes_mask: str | None = None  # the mask's space behind it and before it, where they differ
    observations: str = ""  # the space that it gives


class Contract(Captured):
    """Rung 0."""

    PARTS = BUILD
    OTHER_PARTS: ClassVar = {"view": VIEW, "env_contract": VIEW, "resets": ("build", "sample")}

    view: View = ABSENT
    env_contract: EnvContract = ABSENT
    resets: Resets = ABSENT
    asked_module: str = ABSENT  # name of the class that the task asks for, where it asks for one
    policies_to_train: list[str] = ABSENT  # where the configuration lists them
    learner: str = ABSENT  # name of the learner's class
    initial: Arrays = ABSENT  # parameters of the learning module as the port's code initialises it
    weights: Arrays = ABSENT  # the same after SB3's were copied in
    returns: dict[str, Returns] = field(default_factory=dict)  # of the modules that the learner's batch has rows of
    connectors: list[Connector] = field(default_factory=list)  # the port's own, in their order
    later: LaterSamples = ABSENT  # with ``full``, where callbacks are called while env runners sample
    env_check: dict[str, Raised] = field(
        default_factory=dict
    )  # "legal" or "illegal" actions -> what RLlib's check raised


# --- rungs 1 and 2, forward and distribution


class RandomObservations(Captured):
    """The module on observations drawn within what the environment showed, half of them with one legal action."""

    PARTS = SPACE
    OTHER_PARTS: ClassVar = {"sb3_logits": SB3_SPACE, "sb3_values": SB3_SPACE}

    observations: Arrays = ABSENT  # [S, …] each, the mask included
    mask: np.ndarray = ABSENT  # [S, n]
    logits: np.ndarray = ABSENT  # [S, n]
    probability: np.ndarray = ABSENT  # [S, n]
    values: np.ndarray = ABSENT  # [S]
    sb3_logits: np.ndarray = ABSENT  # [S, n], before masking
    sb3_values: np.ndarray = ABSENT  # [S]


class ChosenActions(Captured):
    """What a module that picks its actions itself picks, each row many times, beside its distribution."""

    PARTS = FORWARD

    actions: np.ndarray = ABSENT  # int64 [N, k]
    log_prob: np.ndarray = ABSENT  # [N], its own word, where it gives one
    expected_log_prob: np.ndarray = ABSENT  # [N], its distribution's
    probability: np.ndarray = ABSENT  # [N, n]


class ScaledWeights(Captured):
    """The random observations with weights scaled so that outputs span the range that they reach in training."""

    PARTS = SCALED

    mask: np.ndarray = ABSENT  # [S, n]
    actions: np.ndarray = ABSENT  # int64 [S, k], legal ones
    logits: Arrays = ABSENT  # phase -> [S, n]
    probability: Arrays = ABSENT  # phase -> [S, n]
    log_prob: Arrays = ABSENT  # phase -> [S]
    entropy: Arrays = ABSENT  # phase -> [S]
    values: np.ndarray = ABSENT  # [S]
    sb3_logits: np.ndarray = ABSENT  # [S, n], before masking
    sb3_values: np.ndarray = ABSENT  # [S]
    chosen: ChosenActions = ABSENT


class UnitWeights(Captured):
    """Both networks on observed rows with random weights that give every layer of SB3's outputs of order 1."""

    PARTS = UNIT

    mask: np.ndarray = ABSENT  # bool [U, n]
    logits: np.ndarray = ABSENT  # [U, n]
    values: np.ndarray = ABSENT  # [U]
    sb3_logits: np.ndarray = ABSENT  # [U, n], before masking
    sb3_values: np.ndarray = ABSENT  # [U]
    # how far SB3's own outputs move when all weights are moved by some units in the last place, by logits and values
    noise: dict[str, float] = ABSENT
    begins: dict[str, str] = ABSENT  # "logits", "values" -> where, on the way there, the two networks part, as a clause


class Forward(Captured):
    """Rung 1, of one module."""

    PARTS = FORWARD
    OTHER_PARTS: ClassVar = {
        "batch_rows": ROLLOUT, "sb3_logits": SB3, "sb3_values": SB3, "random": SPACE, "scaled": SCALED, "inputs": SB3_SPACE,
        "unit": UNIT,
    }  # fmt: skip

    batch_rows: int = ABSENT  # R
    logits: Arrays = ABSENT  # phase -> [V, n], as the module gives them
    logits_first: np.ndarray = ABSENT  # [V, n], of one call of the training pass
    logits_again: np.ndarray = ABSENT  # [V, n], of another
    values: np.ndarray = ABSENT  # [V], in the training pass
    values_alone: np.ndarray = ABSENT  # [R], compute_values on all rows of the batch
    sb3_logits: np.ndarray = ABSENT  # [V, n], before masking
    sb3_values: np.ndarray = ABSENT  # [V]
    random: RandomObservations = ABSENT
    unseen: RandomObservations = (
        ABSENT  # the same where elements vary that were constant in the rollout, if both can take it
    )
    scaled: ScaledWeights = ABSENT
    unit: UnitWeights = ABSENT
    # entry -> float64 [2]: how far outputs move, the port's and SB3's, when drawn values change places
    inputs: Arrays = ABSENT


class Distribution(Captured):
    """Rung 2, of one module."""

    PARTS = FORWARD
    OTHER_PARTS: ClassVar = {"sb3_log_prob": SB3, "sb3_entropy": SB3, "random": SPACE, "scaled": SCALED}

    probability: Arrays = ABSENT  # phase -> [V, n]
    log_prob: Arrays = ABSENT  # phase -> [V]
    entropy: Arrays = ABSENT  # phase -> [V]
    chosen: ChosenActions = ABSENT
    sb3_log_prob: np.ndarray = ABSENT  # [V]
    sb3_entropy: np.ndarray = ABSENT  # [V]
    random: RandomObservations = ABSENT
    scaled: ScaledWeights = ABSENT


# --- rungs 3 and 4, rollout and returns


class Rollout(Captured):
    """Rung 3, of one module: what the loss sees, against the environment's side in `Rows`."""

    PARTS = ROLLOUT
    OTHER_PARTS: ClassVar = {"log_prob": FORWARD, "logits": FORWARD}

    observations: Arrays = ABSENT  # [R, …] each, the mask included
    actions: np.ndarray = ABSENT  # [R] or [R, k]
    action_logp: np.ndarray = ABSENT  # [R], at sampling
    action_dist_inputs: np.ndarray = ABSENT  # [R, n], logits at sampling
    rewards: np.ndarray = ABSENT  # [R]
    terminateds: np.ndarray = ABSENT  # [R]
    truncateds: np.ndarray = ABSENT  # [R]
    loss_mask: np.ndarray = ABSENT  # bool [R], where the batch has one
    log_prob: Arrays = ABSENT  # phase -> [V], of the actions, by the weights before the update
    logits: Arrays = ABSENT  # phase -> [V, n]


class Returns(Captured):
    """Rung 4, of one module."""

    PARTS = ROLLOUT
    OTHER_PARTS: ClassVar = {"values": FORWARD, "bootstrap": FORWARD, "sb3_advantages": SB3, "sb3_returns": SB3}

    advantages: np.ndarray = ABSENT  # float32 [R], as the loss sees them
    value_targets: np.ndarray = ABSENT  # float32 [R]
    rewards: np.ndarray = ABSENT  # [R]
    terminateds: np.ndarray = ABSENT  # [R]
    values: np.ndarray = ABSENT  # float32 [R]
    bootstrap: np.ndarray = ABSENT  # float32 [chunks], of what followed each chunk's last row
    sb3_advantages: np.ndarray = ABSENT  # float32 [V], RolloutBuffer.compute_returns_and_advantage, not normalised
    sb3_returns: np.ndarray = ABSENT  # float32 [V]


@dataclasses.dataclass(kw_only=True)
class InstalledFormula:
    """The installed framework's advantages: its version, and whether value targets bootstrap chunks that were cut."""

    version: str
    bootstraps_cut_chunks: bool = True


# --- rungs 5 to 8, loss, gradient, step and update. SB3 updates several times from the same weights. RUN is "sb3" as SB3
# does it, "advantages" with the port's in place of SB3's normalisation, "adam_eps" with the port's epsilon, "minibatches" with
# the port's, "all" with all three.


class LossTerms(Captured):
    """Of each minibatch, float64 ``[minibatches]``, without coefficients but for the total; NaN where a learner logs none."""

    PARTS = UPDATE

    policy: np.ndarray = ABSENT
    value: np.ndarray = ABSENT
    entropy: np.ndarray = ABSENT
    total: np.ndarray = ABSENT


class Stress(Captured):
    """One loss with log-probs moved so that ratios spread from 1/2 to 2, on the weights after the update."""

    PARTS = UPDATE

    log_prob: np.ndarray = ABSENT  # float32 [V], like all that the loss was given
    old_log_prob: np.ndarray = ABSENT
    advantages: np.ndarray = ABSENT
    targets: np.ndarray = ABSENT
    values: np.ndarray = ABSENT
    entropy: np.ndarray = ABSENT
    loss: LossTerms = ABSENT  # what the learner logs of it
    # Derivatives, float32 [V, n] by the logits and [V] by the values: of the learner's loss ("total"), of the clipped surrogate
    # ("policy"; "normalised" with normalised advantages), of the mean entropy ("entropy"), of the mean squared error ("value").
    by_logits: Arrays = field(default_factory=dict)
    by_values: Arrays = field(default_factory=dict)


class Loss(Captured):
    """Rung 5, of one module."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {"sb3": SB3_UPDATE, "advantages": ROLLOUT}

    terms: LossTerms = ABSENT
    sb3: dict[str, LossTerms] = ABSENT  # RUN -> SB3's, on the first minibatch
    advantages: np.ndarray = ABSENT  # float32 [R]
    stress: Stress = ABSENT


class Gradient(Captured):
    """Rung 6, of one module: by parameter, of the first minibatch."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {"sensitivity": SENSITIVITY, "sb3": SB3_UPDATE}

    raw: Arrays = ABSENT  # before clipping
    clipped: Arrays = ABSENT
    sensitivity: Arrays = ABSENT  # float64 [2]: how far log-probs and values move when the parameter is disturbed
    sb3: dict[str, Arrays] = ABSENT  # RUN -> SB3's, clipped, by SB3's names
    # SB3's name -> float64 [N], ‖·‖₂: how far SB3's own computation ends from itself where its weights start a few floats
    # away; empty where the two sides are so near that nobody asks
    noise: Arrays = field(default_factory=dict)
    stretched: Arrays = ABSENT  # a gradient far above the bound of clipping
    stretched_clipped: Arrays = ABSENT
    minibatches: int = ABSENT


class Step(Captured):
    """Rung 7, of one module; of one that is not trained, ``before`` and ``last`` alone."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {
        "before": BUILD, "sensitivity": SENSITIVITY, "sb3": SB3_UPDATE, "sb3_gradient": SB3_UPDATE, "sb3_last": SB3_UPDATE,
    }  # fmt: skip

    before: Arrays = ABSENT  # parameters before the update
    after: Arrays = ABSENT  # after its first step
    last: Arrays = ABSENT  # after its last step
    raw: Arrays = ABSENT  # gradient of the first step, before clipping
    gradient: Arrays = ABSENT  # the same, clipped
    sensitivity: Arrays = ABSENT  # see Gradient
    sb3: dict[str, Arrays] = ABSENT  # RUN -> SB3's parameters after the first step, by SB3's names
    sb3_gradient: dict[str, Arrays] = ABSENT  # RUN -> SB3's gradient of it
    noise: Arrays = field(default_factory=dict)  # as Gradient's
    sb3_last: Arrays = ABSENT  # SB3's after the whole update as SB3 does it


class Update(Captured):
    """Rung 8, of one module: a whole update of at most a dozen minibatches."""

    PARTS = UPDATE
    OTHER_PARTS: ClassVar = {
        "before": BUILD, "sensitivity": SENSITIVITY, "sb3": SB3_UPDATE, "sb3_peak": SB3_UPDATE,
    }  # fmt: skip

    before: Arrays = ABSENT  # parameters
    last: Arrays = ABSENT
    rows: np.ndarray = ABSENT  # int64 [minibatches, longest], row numbers of each minibatch, -1 where it is shorter
    peak: Arrays = ABSENT  # element by element the largest |gradient| of all minibatches, clipped
    sensitivity: Arrays = ABSENT  # see Gradient
    sb3: dict[str, Arrays] = ABSENT  # RUN -> SB3's parameters after the update, by SB3's names
    sb3_peak: dict[str, Arrays] = ABSENT
    noise: Arrays = field(default_factory=dict)  # as Gradient's
    epochs: int = ABSENT
    minibatch_size: int = ABSENT
    # "learner", "env runner" -> logits after the new weights were given to the env runner
    synchronised: Arrays = ABSENT
    kept_before: Arrays = ABSENT  # parameters and the optimiser's state (PARAM/ENTRY) after the update
    kept_after: Arrays = ABSENT  # the same when the next update first steps
    options: list[dict[str, float]] = ABSENT  # by group of parameters, the optimiser's numbers in this update
    next_options: list[dict[str, float]] = ABSENT  # and in the next


# --- rung 9, lockstep; through Algorithm; the control of a device


class LockstepSide(Captured):
    """One side's rollouts, ``[K, T, E]``: K iterations, T steps, E sub-environments."""

    PARTS = ("lockstep",)

    actions: np.ndarray = ABSENT  # int64 [K, T, E, k]
    values: np.ndarray = ABSENT  # float32, as at sampling
    log_probs: np.ndarray = ABSENT  # float32
    advantages: np.ndarray = ABSENT  # float32, not normalised
    targets: np.ndarray = ABSENT  # float32
    rewards: np.ndarray = ABSENT  # float32, as the environment gave them
    ends: np.ndarray = ABSENT  # int8: 0 goes on, 1 terminated, 2 truncated


class Lockstep(Captured):
    """Rung 9: K iterations from one stream of randomness; M steps of the optimiser in each, P parameters."""

    PARTS = ("lockstep",)

    asked: int = 0  # iterations that were wanted
    iterations: int = 0  # K
    reason: str = ""  # why it could not run, where it could not
    agent: str = ""  # the learning agent
    others: list[str] = field(default_factory=list)  # other agents that have a choice
    # Of an action that can be played, the largest magnitude of its log-prob in SB3's play: how far logits are apart.
    largest_log_prob: float = 0.0
    parameters: list[str] = field(default_factory=list)  # the port's names
    sb3: LockstepSide = ABSENT
    port: LockstepSide = ABSENT
    observations: np.ndarray = ABSENT  # float64 [K, T, E], largest difference of the learning agent's observation
    masks: np.ndarray = ABSENT  # float64 [K, T, E], number of mask entries that differ
    margin: np.ndarray = ABSENT  # float64 [K, T, E], how much a probability would have to be off for another action
    # float64 [K, M, P], ‖port - sb3‖₂ after each step, estimated; NaN behind the last
    minibatch_distance: np.ndarray = ABSENT
    minibatch_count: np.ndarray = ABSENT  # int64 [K, 2], SB3's and the port's
    distance: np.ndarray = ABSENT  # float64 [K, P], ‖port - sb3‖₂ after each update
    size: np.ndarray = ABSENT  # float64 [K, P], ‖sb3‖₂
    largest: np.ndarray = ABSENT  # float64 [K, P], largest difference of an element
    sb3_element: np.ndarray = ABSENT  # float64 [K, P], that element on SB3's side
    port_element: np.ndarray = ABSENT  # float64 [K, P], and on the port's


@dataclasses.dataclass(kw_only=True)
class Replica:
    """One process's copy of a module after an iteration, against the first learner's."""

    names: list[str]  # entries of its state that both have
    missing: list[str]  # entries that it lacks
    spread: np.ndarray  # float64 [names], largest difference of each


class ThroughAlgorithm(Captured):
    """One module, through ``Algorithm``; a replica is ``learner I`` or ``env runner I``."""

    PARTS = ("algorithm",)
    OTHER_PARTS: ClassVar = {"phase_logits": FORWARD}

    logits: Arrays = field(default_factory=dict)  # replica -> of its module on the first rows of the rollout
    phase_logits: Arrays = ABSENT  # phase -> [V, n], see Forward
    replicas: dict[str, Replica] = field(default_factory=dict)
    sampled_log_prob: np.ndarray = ABSENT  # [V] of the actions that the env runners sampled
    trained_log_prob: np.ndarray = ABSENT  # [V] of a learner with the weights that they should have had
    updated: Arrays = field(default_factory=dict)  # the first learner's parameters after the iteration's last update
    ended: Arrays = field(default_factory=dict)  # and at the iteration's end
    through: Arrays = field(default_factory=dict)  # parameters after the first update, by the algorithm's learner
    alone: Arrays = field(default_factory=dict)  # and by a learner of its own
    updated_rates: list[float] = ABSENT  # learning rates after the last update
    ended_rates: list[float] = ABSENT  # and at the iteration's end


@dataclasses.dataclass(kw_only=True)
class CallbackChange:
    """What one of the port's callbacks of ``Algorithm`` changed."""

    callback: str  # its name
    what: str  # "environment", "weights", "settings" or "self-play" (which modules there are, and who plays which)
    where: str  # the environment, the module or "config", in words
    names: list[str] = field(default_factory=list)  # a few of the attributes, parameters or fields
    plays_otherwise: bool | None = (
        None  # whether the environment and a copy from before part on the same seeds and actions
    )
    changes_in_play: bool = False  # playing changes all these attributes by itself: counters, say


@dataclasses.dataclass(kw_only=True)
class OtherEnvironment:
    """Where an environment of an env runner's own parts from that of the rollout, on the same calls."""

    where: str
    follows_seed: bool  # resets with different seeds start differently: it is not its seed alone that is another


@dataclasses.dataclass(kw_only=True)
class AlgorithmRun:
    """One iteration of the port's own Algorithm (rungs 3 and 8); None where it did not get so far."""

    asked: int = 0  # environment steps of an iteration
    sampled: int | None = None
    env_runners: int | None = None  # processes; 0 where the main process does the work
    learners: int | None = None
    sub_environments: int | None = None  # of all env runners
    iterations: int = 0  # in which callbacks were watched
    callbacks: list[CallbackChange] = field(default_factory=list)
    environments: dict[str, OtherEnvironment] = field(default_factory=dict)  # env runner -> how it plays another one
    masks: dict[str, int] = field(default_factory=dict)  # decisions of all env runners, illegal, empty
    modules: dict[str, ThroughAlgorithm] = field(default_factory=dict)


class Control(Captured):
    """One module on the CPU and on another device: what the device alone does to logits, values and the gradient."""

    PARTS = ("control",)

    cpu_logits: np.ndarray = ABSENT
    cpu_values: np.ndarray = ABSENT
    cpu_gradient: Arrays = field(default_factory=dict)
    device_logits: np.ndarray = ABSENT
    device_values: np.ndarray = ABSENT
    device_gradient: Arrays = field(default_factory=dict)


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
