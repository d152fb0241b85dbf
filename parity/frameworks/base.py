"""What a framework adapter is: the classes that `sb3` and `rllib` implement.

A ``Framework`` opens a ``Session``, the training of one task from one seed. The session trains with the framework's own
public loop and calls back after every iteration; an ``EvalRunner`` plays its policy. The caller decides when to evaluate and
what to store. An adapter never judges.
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

    from parity.frameworks.phases import Phases
    from parity.frameworks.snapshot import Reducer
    from parity.results.capture import CallbackChange
    from parity.task import Task

# Sub-environment i of trial `seed` starts from seed * SEED_STRIDE + i: neighbouring trials share no environment stream.
SEED_STRIDE = 1_000


@dataclasses.dataclass(frozen=True)
class Untranslated:
    """A hyperparameter of the task that a framework has no equal for.

    Attributes:
        field: its name in ``PPOParams``, or the framework's where ``PPOParams`` has none.
        value: what is asked for.
        reason: what the framework does instead.
    """

    field: str
    value: Any
    reason: str


@dataclasses.dataclass(frozen=True)
class Effective:
    """What a framework will really run, read back from its own objects.

    Attributes:
        hyperparameters: by ``PPOParams``' names, in SB3's meaning.
        untranslated: hyperparameters of the task that the framework cannot take as they are.
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
    """A finished iteration: one rollout and the update that learns from it.

    Attributes:
        steps: environment steps since training began.
        sample_s: seconds of collecting the rollout; this and the next two are NaN where the framework cannot tell.
        returns_s: seconds of computing advantages and value targets.
        update_s: seconds of the optimiser's epochs.
    """

    steps: int
    sample_s: float
    returns_s: float
    update_s: float


class EvalRunner(ABC):
    """Plays several episodes of the trained policy side by side, for `parity.frameworks.evaluation.evaluate`.

    Attributes:
        slots: number of episodes side by side; each slot, numbered from 0, has an environment of its own.
        counts: mask decisions of every agent since it was set.
        others: agents beside the learning one that have a choice. Their returns are reported and not judged.
    """

    slots: int
    counts: MaskCounts
    others: tuple[Any, ...] = ()

    @abstractmethod
    def reset(self, slot: int, seed: int) -> None:
        """Starts a new episode in a slot, from this environment seed."""

    @abstractmethod
    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        """Lets every agent whose turn it is in these slots act once.

        Returns:
            For each slot the learning agent's reward and whether the episode ended.
        """

    def rewards_of_others(self, slot: int) -> dict[Any, float]:
        """The reward of each of ``others`` in the slot's latest step."""
        return {}

    @abstractmethod
    def seed_policy(self, seed: int) -> None:
        """Makes the sampled actions of the following steps depend on ``seed`` alone."""

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The learning agent's values and action probabilities when it samples; no environment is stepped.

        Args:
            observations: B observations as the task's ``env`` gives them, without the mask's entry.
            masks: bool ``[B, n_logits]``.

        Returns:
            Values float64 ``[B]`` and probabilities float64 ``[B, n_logits]``, those of each sub-action summing to 1.

        Raises:
            NotImplementedError: this adapter, or the port's module, does not provide them.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no values and probabilities")

    @abstractmethod
    def close(self) -> None:
        """Closes the environments."""


class Session(ABC):
    """The training of one task by one framework, from one seed."""

    @abstractmethod
    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        """Trains until there were at least ``steps`` environment steps, and calls back after every iteration."""

    @abstractmethod
    def eval_runner(self, slots: int) -> EvalRunner:
        """An `EvalRunner` that plays the policy as it stands at the time of each ``EvalRunner.step``."""

    @abstractmethod
    def sampling_masks(self) -> MaskCounts:
        """Mask decisions of the training environments so far."""

    def callback_changes(self) -> list[CallbackChange]:
        """What the port's own callbacks have changed so far in what is trained, or in what it is trained on."""
        return []

    def slow_paths(self) -> list[str]:
        """What of a training goes the framework's own, slower way although parity has a faster one, and why; sentences."""
        return []

    @abstractmethod
    def devices(self) -> dict[str, str]:
        """Component -> device, read from its tensors."""

    def module_devices(self) -> dict[str, str]:
        """Module, by place and name -> the devices that its parameters are on."""
        return self.devices()

    def watch_phases(self, phases: Phases) -> None:
        """Says which methods of its loop are what (`parity.frameworks.phases.PHASES`); what it does not say is bookkeeping."""
        return

    def learning_modules(self) -> int:
        """How many modules, or policies, are trained: each has an update of its own."""
        return 1

    def replaceable(self) -> list[str]:
        """Parts of the user's own that the framework has a standard one for, as `Framework.without` names them."""
        return []

    @abstractmethod
    def weights(self) -> Mapping[str, torch.Tensor]:
        """The learning agent's current parameters by name; those of the shared network as ``network.NAME``.

        Where the task has a shared network they equal SB3's for the same seed before training, as `build_network` ensures.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes a checkpoint that the framework itself, and ``Framework.restore``, can load."""

    def reducers(self) -> Mapping[type, Reducer]:
        """How what the session holds is pickled, see `parity.frameworks.snapshot`; `train` then goes on where it was.

        Raises:
            CannotBeKept: it is not in this process alone.
            NotImplementedError: this adapter does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is kept")

    @abstractmethod
    def close(self) -> None:
        """Closes environments and ends processes."""


class Framework(ABC):
    """An adapter, registered under the entry-point group ``parity.frameworks``."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]  # installed packages whose versions a study stores
    variants: ClassVar[tuple[str, ...]] = ()  # slower or faster forms that `parity bench` takes as NAME:VARIANT
    variant: str | None = None
    checkpoint: Any = None  # a `parity.capture.checkpoint.Checkpoint`, where the ladder is asked to start from one
    watched: Callable[[Any], Any] | None = None
    """Where a study sets it, a training is looked at: it makes a configuration of RLlib's another, and a callback for a model
    of SB3's. Adapters of other frameworks may leave it unused."""

    def without(self, task: Task, part: str) -> Task:
        """The task with the framework's standard part in place of one of `Session.replaceable`."""
        raise NotImplementedError(f"{type(self).__name__} has no standard part for {part}")

    @abstractmethod
    def effective(self, task: Task, device: str, threads: int) -> Effective:
        """What would run for this task. Builds environments and networks, trains nothing.

        Raises:
            CannotStart: the task cannot be run by this framework.
        """

    @abstractmethod
    def open(self, task: Task, seed: int, device: str, threads: int) -> Session:
        """Builds environments, network and algorithm for one trial."""

    @abstractmethod
    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        """An `EvalRunner` that plays a checkpoint written by ``Session.save``."""
