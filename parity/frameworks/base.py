"""What a framework adapter is: the two classes that `sb3` and `rllib` fill in, side by side.

A ``Framework`` opens a ``Session``: one task, one seed, being trained. The session trains with the framework's own public
loop and calls back after every iteration; everything else (when to evaluate, what to store, what it means) is decided
elsewhere. An adapter never judges.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from parity.task.masks import MaskCounts

if TYPE_CHECKING:
    import torch

    from parity.task import Task

# Sub-environment i of trial `seed` starts from seed * SEED_STRIDE + i: neighbouring trials share no environment stream.
SEED_STRIDE = 1_000


@dataclasses.dataclass(frozen=True)
class Untranslated:
    """A hyperparameter of the task that a framework cannot take as it is, and what it does instead."""

    field: str
    value: Any
    reason: str


@dataclasses.dataclass(frozen=True)
class Effective:
    """What a framework will really run, read back from its own configuration.

    Attributes:
        hyperparameters: by ``PPOParams``' names, in SB3's meaning.
        untranslated: what the task asks for and this framework does otherwise.
        native: the framework's own names and values, flat, JSON scalars only.
        devices: component -> device.
        threads: torch threads of a process.
        processes: processes of one trial.
        bundles: what a scheduler should reserve for one trial, ``{"CPU": …, "GPU": …}`` for the main process and then for
            each further one, as in a Ray placement group.
    """

    hyperparameters: dict[str, Any]
    untranslated: list[Untranslated]
    native: dict[str, Any]
    devices: dict[str, str]
    threads: int
    processes: int = 1
    bundles: list[dict[str, float]] = dataclasses.field(default_factory=lambda: [{"CPU": 1.0}])


@dataclasses.dataclass(frozen=True)
class Iteration:
    """One iteration of rollout and update has ended.

    Attributes:
        steps: environment steps since training began.
        sample_s, returns_s, update_s: seconds of collecting the rollout, of advantages and value targets, and of the
            optimiser's epochs; NaN where the framework cannot tell.
    """

    steps: int
    sample_s: float
    returns_s: float
    update_s: float


class EvalRunner(ABC):
    """Several episodes being played side by side by the trained policy, for the evaluator.

    Slots are numbered; each holds an environment of its own.

    Attributes:
        counts: mask decisions of every agent since it was set.
        others: agents beside the learning one that have a choice; their returns are kept and judged nowhere.
    """

    slots: int
    counts: MaskCounts
    others: tuple[Any, ...] = ()

    @abstractmethod
    def reset(self, slot: int, seed: int) -> None:
        """Starts a new episode in a slot."""

    @abstractmethod
    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        """Every agent due in these slots acts once. Returns the learning agent's reward and whether the episode ended."""

    def rewards_of_others(self, slot: int) -> dict[Any, float]:
        """What each of ``others`` was paid in the slot's latest step."""
        return {}

    @abstractmethod
    def seed_policy(self, seed: int) -> None:
        """Makes the sampled actions that follow depend on ``seed`` alone."""

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the learning agent's policy says of these observations, as it samples; nothing is played.

        Args:
            observations: B observations as the task's ``env`` gives them, without the mask's entry.
            masks: bool ``[B, n_logits]``.

        Returns:
            Values float64 ``[B]`` and probabilities float64 ``[B, n_logits]``, those of each sub-action summing to 1.

        Raises:
            NotImplementedError: this adapter, or the port's module, has no answer.
        """
        raise NotImplementedError(f"{type(self).__name__} tells no values and probabilities")

    @abstractmethod
    def close(self) -> None:
        """Frees the environments."""


class Session(ABC):
    """One framework, one task, one seed."""

    @abstractmethod
    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        """Trains for at least ``steps`` environment steps and calls back after every iteration."""

    @abstractmethod
    def eval_runner(self, slots: int) -> EvalRunner:
        """An `EvalRunner` that plays the policy as it stands at the time of each ``EvalRunner.step``."""

    @abstractmethod
    def sampling_masks(self) -> MaskCounts:
        """Mask decisions of the training environments so far."""

    @abstractmethod
    def devices(self) -> dict[str, str]:
        """Component -> device, read from where the parameters are."""

    @abstractmethod
    def weights(self) -> Mapping[str, torch.Tensor]:
        """The learning agent's parameters as they are now: those of the shared network as ``network.NAME``.

        Before training they are SB3's for the same seed, where the task has a shared network: `build_network` makes them so.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes a checkpoint that the framework itself, and ``Framework.restore``, can load."""

    @abstractmethod
    def close(self) -> None:
        """Frees environments and processes."""


class Framework(ABC):
    """An adapter, registered under the entry-point group ``parity.frameworks``."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]  # distributions whose versions belong in a study

    @abstractmethod
    def effective(self, task: Task, device: str, threads: int) -> Effective:
        """What it will run for this task. Builds environments and networks, trains nothing.

        Raises:
            CannotStart: the task cannot be run by this framework.
        """

    @abstractmethod
    def open(self, task: Task, seed: int, device: str, threads: int) -> Session:
        """Builds environments, network and algorithm for one trial."""

    @abstractmethod
    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        """An `EvalRunner` that plays a checkpoint written by ``Session.save``."""
