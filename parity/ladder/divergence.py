"""Where two runs in lockstep part first, and whether that starts from float noise or from a difference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from parity.ladder.difference import NONE, Difference
from parity.ladder.rung_input import scaled
from parity.ladder.tolerances import Tolerance
from parity.results.capture import Lockstep, LockstepSide

Origin = Literal["float noise", "environment", "difference"]

# In the order in which one causes the next, within a step.
ROLLOUT = ("observation", "mask", "value", "action", "log-prob", "reward", "end")
ENVIRONMENT = ("observation", "mask", "reward", "end")
ENDS = ("goes on", "terminated", "truncated")

# In units of the tolerance. Measured on 28 trainings of tiles (learning rates 3e-4 to 3e-3, up to 960 minibatches) after one
# weight was moved to the next float: the noise entered at 0.02 at most, and the step that passed the tolerance was 1 to 68
# times what had been there before.
ENTERS_BELOW = 0.2
GROWS_BY = 300.0
NOISE_FLOOR = 0.01
# A probability is off by no more than this where log-probs still agree.
PROBABILITY = 1e-5


@dataclasses.dataclass(frozen=True)
class Place:
    """One measurement of a run; all numbers count from 0."""

    iteration: int  # of sampling and updating
    quantity: str  # one of `ROLLOUT`, "advantage", "value target", "number of minibatches", "parameter"
    needed: float  # the factor on the tolerance that would have passed
    difference: float  # absolute; for a parameter the 2-norm
    # sb3, port: both values; of a parameter's element with the largest difference. None for observations and masks, of
    # which only the difference is known.
    sb3: Any = None
    port: Any = None
    step: int | None = None  # of the rollout
    env: int | None = None  # its sub-environment
    minibatch: int | None = None  # number of the minibatch in its iteration; None after the whole update
    parameter: str | None = None  # its name in the port
    margin: float | None = None  # of an action, see `parity.frameworks.sampling.margins`

    def words(self) -> str:
        """Where it is, without the values."""
        parts = [f"iteration {self.iteration}"]
        if self.step is not None:
            parts += [f"step {self.step}", f"sub-environment {self.env}"]
        if self.minibatch is not None:
            parts.append(f"minibatch {self.minibatch}")
        what = self.quantity if self.parameter is None else f"parameter {self.parameter}"
        return ", ".join([*parts, what])

    def values(self) -> str:
        """Both values in words."""
        if self.sb3 is None:
            return f"they differ by {self.difference:.2g}"
        return f"SB3 {_value(self.sb3)}, the port {_value(self.port)}"


def _value(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


@dataclasses.dataclass(frozen=True)
class Divergence:
    """How far two runs stay together."""

    iterations: int  # whole iterations within the tolerance
    minibatches: int  # optimiser steps within the tolerance
    first_bit: Place | None  # where they first differ at all; None where they are bit-identical throughout
    parted: Place | None  # where they first differ by more than the tolerance; None where they hold
    origin: Origin | None  # what that starts from
    held: Difference  # the largest difference of all that holds

    def length(self) -> str:
        """How long it holds, in words."""
        return f"{_count(self.iterations, 'iteration')} ({_count(self.minibatches, 'minibatch', 'minibatches')})"


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def diverge(lockstep: Lockstep, tolerance: Tolerance) -> Divergence:
    """Compares both sides in the order of time, up to the first place where they differ by more than the tolerance."""
    level, held, first_bit, together = 0.0, NONE, None, 0
    for iteration in range(lockstep.iterations):
        for place, relative in _measurements(lockstep, iteration, tolerance):
            if place.needed > 0 and first_bit is None:
                first_bit = place
            if not place.needed <= 1.0:
                origin = _origin(place, level, first_bit)
                return Divergence(iteration, together, first_bit, place, origin, held)
            together += place.minibatch is not None
            level = max(level, place.needed)
            held = _worse(held, place, relative)
    return Divergence(lockstep.iterations, together, first_bit, None, None, held)


def _origin(parted: Place, level: float, first_bit: Place | None) -> Origin:
    """``level``: the largest difference before, in units of the tolerance."""
    if parted.quantity in ENVIRONMENT:
        # Everything before agrees, the actions included, and an environment knows nothing of the networks' noise.
        return "environment"
    if level == 0.0 or first_bit is None or first_bit.needed > ENTERS_BELOW:
        return "difference"
    if parted.margin is not None:
        return "float noise" if parted.margin <= PROBABILITY else "difference"
    return "float noise" if parted.needed <= GROWS_BY * max(level, NOISE_FLOOR) else "difference"


def _worse(held: Difference, place: Place, relative: float) -> Difference:
    return Difference(
        max(held.max_abs, place.difference),
        max(held.max_rel, relative),
        max(held.tolerance_needed, place.needed),
        place.words() if place.needed > held.tolerance_needed else held.where,
    )


def _measurements(lockstep: Lockstep, iteration: int, tolerance: Tolerance) -> Iterator[tuple[Place, float]]:
    """The worst of each step, of the advantages and targets, of each minibatch and of the update; relative differences."""
    columns = _columns(lockstep, iteration, tolerance)
    steps = len(columns["action"].needed)
    for step in range(steps):
        yield _worst(columns, ROLLOUT, iteration, step)
    for step in range(steps):
        yield _worst(columns, ("advantage", "value target"), iteration, step)
    yield from _update(lockstep, iteration, tolerance)


@dataclasses.dataclass(frozen=True)
class _Column:
    """One quantity of a rollout, ``[T, E]`` each; ``values``: SB3's and the port's."""

    needed: np.ndarray
    difference: np.ndarray
    relative: np.ndarray
    values: tuple[np.ndarray, np.ndarray] | None = None


def _columns(lockstep: Lockstep, iteration: int, tolerance: Tolerance) -> dict[str, _Column]:
    def both(name: str) -> tuple[np.ndarray, np.ndarray]:
        return getattr(lockstep.sb3, name)[iteration], getattr(lockstep.port, name)[iteration]

    actions = both("actions")
    same = (actions[0] == actions[1]).all(axis=-1)
    columns = {
        "observation": _only_difference(lockstep.observations[iteration], tolerance),
        "mask": _only_difference(lockstep.masks[iteration], None),
        "action": _discrete(*actions),
        "end": _discrete(*both("ends")),
    }
    for quantity, name in (
        ("value", "values"), ("log-prob", "log_probs"), ("reward", "rewards"),
        ("advantage", "advantages"), ("value target", "targets"),
    ):  # fmt: skip
        # A log-prob near 0 is a difference of logits: it is as accurate as they are large.
        size = lockstep.largest_log_prob if quantity == "log-prob" else 0.0
        columns[quantity] = _continuous(*both(name), scaled(tolerance, np.array([size])))
    # Another action has another log-prob.
    log_prob = columns["log-prob"]
    columns["log-prob"] = dataclasses.replace(log_prob, needed=np.where(same, log_prob.needed, 0.0))
    margin = lockstep.margin[iteration]
    columns["margin"] = _Column(margin, margin, margin)
    return columns


def _continuous(sb3: np.ndarray, port: np.ndarray, tolerance: Tolerance) -> _Column:
    a, b = sb3.astype(np.float64), port.astype(np.float64)
    allowed = scaled(tolerance, a)
    difference = np.where(a == b, 0.0, np.abs(a - b))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(difference == 0, 0.0, difference / np.abs(a))
        needed = np.minimum(difference / allowed.absolute, relative / allowed.relative)
    finite = np.isfinite(a) & np.isfinite(b)
    beyond = difference > allowed.absolute
    return _Column(np.where(finite, needed, np.inf), difference, np.where(beyond, relative, 0.0), (sb3, port))


def _discrete(sb3: np.ndarray, port: np.ndarray) -> _Column:
    differs = sb3 != port
    differs = differs.reshape(*differs.shape[:2], -1).any(axis=-1)
    return _Column(np.where(differs, np.inf, 0.0), differs.astype(np.float64), np.zeros(differs.shape), (sb3, port))


def _only_difference(difference: np.ndarray, tolerance: Tolerance | None) -> _Column:
    needed = difference / tolerance.absolute if tolerance else np.where(difference > 0, np.inf, 0.0)
    return _Column(needed, difference, np.zeros(difference.shape))


def _worst(columns: dict[str, _Column], quantities: tuple[str, ...], iteration: int, step: int) -> tuple[Place, float]:
    """The first quantity that does not hold, or else the one that needs most."""
    at = {quantity: int(np.argmax(columns[quantity].needed[step])) for quantity in quantities}
    needed = {quantity: float(columns[quantity].needed[step, env]) for quantity, env in at.items()}
    quantity = next((q for q in quantities if needed[q] > 1.0), max(quantities, key=lambda q: needed[q]))
    env, column = at[quantity], columns[quantity]
    place = Place(
        iteration, quantity, needed[quantity], float(column.difference[step, env]), step=step, env=env,
        margin=float(columns["margin"].needed[step, env]) if quantity == "action" else None,
    )  # fmt: skip
    if column.values is not None:
        sb3, port = (_plain(quantity, side[step, env]) for side in column.values)
        place = dataclasses.replace(place, sb3=sb3, port=port)
    return place, float(column.relative[step, env])


def _plain(quantity: str, value: np.ndarray) -> Any:
    if quantity == "end":
        return ENDS[int(value)]
    plain = value.tolist()
    return plain[0] if isinstance(plain, list) and len(plain) == 1 else plain


def _update(lockstep: Lockstep, iteration: int, tolerance: Tolerance) -> Iterator[tuple[Place, float]]:
    names = lockstep.parameters
    sizes = lockstep.size[iteration]

    def tensor(distances: np.ndarray) -> tuple[int, float, float]:
        """Number, factor on the tolerance and relative difference of the tensor that needs most."""
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(distances == 0, 0.0, distances / sizes)
            needed = np.minimum(relative / tolerance.relative, distances / tolerance.floor)
        needed = np.where(np.isfinite(distances), needed, np.inf)
        worst = int(np.argmax(needed))
        small = distances[worst] <= tolerance.floor
        return worst, float(needed[worst]), 0.0 if small else float(relative[worst])

    counts = [int(n) for n in lockstep.minibatch_count[iteration]]
    for minibatch in range(min(counts)):
        distances = lockstep.minibatch_distance[iteration][minibatch]
        worst, needed, relative = tensor(distances)
        place = Place(
            iteration, "parameter", needed, float(distances[worst]), minibatch=minibatch, parameter=names[worst]
        )
        yield place, relative
    if counts[0] != counts[1]:
        ours, theirs = counts
        yield Place(iteration, "number of minibatches", math.inf, abs(ours - theirs), ours, theirs), 0.0
    distances = lockstep.distance[iteration]
    worst, needed, relative = tensor(distances)
    sb3, port = (float(side[iteration][worst]) for side in (lockstep.sb3_element, lockstep.port_element))
    yield Place(iteration, "parameter", needed, float(distances[worst]), sb3, port, parameter=names[worst]), relative


def mean_returns(side: LockstepSide) -> np.ndarray:
    """Mean return of the episodes that ended in each iteration, float64 ``[K]``; NaN where none did."""
    rewards, ends = side.rewards.astype(np.float64), side.ends != 0
    iterations, steps, envs = rewards.shape
    finished: list[list[float]] = [[] for _ in range(iterations)]
    running = np.zeros(envs)
    for step in range(iterations * steps):
        iteration, within = divmod(step, steps)
        running += rewards[iteration, within]
        over = ends[iteration, within]
        finished[iteration] += running[over].tolist()
        running[over] = 0.0
    return np.array([np.mean(returns) if returns else np.nan for returns in finished])
