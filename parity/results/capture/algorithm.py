"""Rungs 3 and 8 once more, through ``Algorithm``: its processes, and what callbacks change between iterations."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import ClassVar

import numpy as np

from parity.results.capture.base import ABSENT, FORWARD, Arrays, Captured


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
    # whether the environment and a copy from before part on the same seeds and actions
    plays_otherwise: bool | None = None
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
