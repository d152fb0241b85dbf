"""What a probe claims of a policy that was trained on it, as data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.task import Task

# A policy that was trained for seconds still explores a little.
CERTAIN = 0.95
# Deterministic play reaches this share of the way from uniform legal to the best return (as a task's score counts it).
ENOUGH = 0.8


@dataclasses.dataclass(frozen=True)
class State:
    """Where the policy is asked: an observation as the task's environment gives it, without a mask."""

    observation: np.ndarray
    mask: np.ndarray  # bool [n_logits]


@dataclasses.dataclass(frozen=True)
class Symptom:
    """A wrong answer, the value or probability that the policy gives, with a known cause."""

    answer: float
    cause: str


@dataclasses.dataclass(frozen=True)
class ValueIs:
    """The value of a state, under the best policy (or the only one), is ``expected``.

    ``tolerance`` is absolute, also for recognising a symptom. ``otherwise``: the cause where no symptom is recognised and the
    policy plays as claimed.
    """

    state: str
    expected: float
    tolerance: float
    symptoms: tuple[Symptom, ...] = ()
    otherwise: str | None = None


@dataclasses.dataclass(frozen=True)
class ActionIsCertain:
    """One action of a state has a probability of at least ``CERTAIN``; ``otherwise``: the cause where there is no symptom."""

    state: str
    action: int
    symptoms: tuple[Symptom, ...] = ()
    otherwise: str | None = None


Claim = ValueIs | ActionIsCertain


@dataclasses.dataclass(frozen=True)
class Probe:
    """A task whose answer is known in closed form.

    Besides its own claims, every probe claims that training does not raise, that no illegal action is played, and that
    deterministic play reaches ``ENOUGH`` of the best return.
    """

    task: Task  # the environment, with ``reference`` in closed form
    asks: str  # the question, in a sentence
    states: dict[str, State]  # where the policy is asked, by name
    claims: tuple[Claim, ...]  # what must hold there; first those that the others follow from


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a trained policy says, by state, and does on a probe."""

    values: dict[str, float] = dataclasses.field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # float64 [n_logits]
    returns: np.ndarray = dataclasses.field(
        default_factory=lambda: np.empty(0)
    )  # float64 [episodes], deterministic play
    illegal: int = 0  # actions in training and play
    raised: str | None = None  # type and message of what training or play raised; the rest is then empty


@dataclasses.dataclass(frozen=True)
class Failure:
    """A claim that does not hold, what was observed, and what is known to cause that, all in words."""

    claim: str
    observed: str
    cause: str | None = None

    def __str__(self) -> str:
        return f"{self.claim}: {self.observed}" + (f"; {self.cause}" if self.cause else "")
