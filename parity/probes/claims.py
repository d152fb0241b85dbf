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
    """Where the policy is asked.

    Attributes:
        observation: as the task's environment gives it, without a mask.
        mask: bool ``[n_logits]``.
    """

    observation: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass(frozen=True)
class Symptom:
    """A wrong answer with a known cause.

    Attributes:
        answer: the value or probability that the policy gives.
        cause: what is wrong then.
    """

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

    Attributes:
        task: the environment, with ``reference`` in closed form.
        asks: the question, in a sentence.
        states: where the policy is asked, by name.
        claims: what must hold there; first those that the others follow from.
    """

    task: Task
    asks: str
    states: dict[str, State]
    claims: tuple[Claim, ...]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a trained policy says and does on a probe.

    Attributes:
        values: by state.
        probabilities: by state, float64 ``[n_logits]``.
        returns: float64 ``[episodes]``, of deterministic play.
        illegal: illegal actions in training and play.
        raised: type and message of what training or play raised; the rest is then empty.
    """

    values: dict[str, float] = dataclasses.field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    returns: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    illegal: int = 0
    raised: str | None = None


@dataclasses.dataclass(frozen=True)
class Failure:
    """A claim that does not hold.

    Attributes:
        claim: in words.
        observed: in words.
        cause: what is known to cause it; None where nothing is.
    """

    claim: str
    observed: str
    cause: str | None = None

    def __str__(self) -> str:
        return f"{self.claim}: {self.observed}" + (f"; {self.cause}" if self.cause else "")
