"""Rung 0: the learning agent's view, how environments keep to RLlib's contract, connectors and initial weights."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, BUILD, VIEW, Arrays, Captured
from parity.results.capture.context import Raised
from parity.results.capture.rollout import Returns


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
    # sides on which two copies start later, unseeded episodes differently
    reseeds: list[str] = field(default_factory=list)
    # whether parity.Repeatable mends that of the single-agent side; None: not tried
    made_repeatable: bool | None = None
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

    possible: list[str] = field(default_factory=list)  # agents
    seen: dict[str, int] = field(default_factory=dict)  # agent -> observations that it was given
    episodes: int = 0  # begun
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
    # "legal" or "illegal" actions -> what RLlib's check raised
    env_check: dict[str, Raised] = field(default_factory=dict)
