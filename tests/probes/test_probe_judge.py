"""The judge of claims, on answers made up: which claim fails, and what it is told of the cause."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from parity import probes
from parity.probes.claims import Answers, Probe
from parity.probes.judge import judge


@pytest.fixture
def probe() -> Probe:
    return probes.get("probe-time-limit")


RIGHT = Answers(
    values={'"ends"': 1.01, '"is cut"': 3.9},
    probabilities={'"ends"': np.array([0.01, 0.99]), '"is cut"': np.array([0.0, 1.0])},
    returns=np.ones(20),
)


def told(probe: Probe, **changes: object) -> list[str]:
    return [str(failure) for failure in judge(probe, dataclasses.replace(RIGHT, **changes))]  # type: ignore[arg-type]


def test_right_answers_fail_no_claim(probe: Probe) -> None:
    assert told(probe) == []


def test_a_known_wrong_value_names_its_cause(probe: Probe) -> None:
    (failure,) = told(probe, values={'"ends"': 1.0, '"is cut"': 1.02})
    assert failure.startswith('the value of "is cut" is 4: it is 1.02; truncation is treated as termination')


def test_an_unknown_wrong_value_names_none(probe: Probe) -> None:
    assert told(probe, values={'"ends"': 1.0, '"is cut"': 2.5}) == ['the value of "is cut" is 4: it is 2.5']


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_fails(probe: Probe, bad: float) -> None:
    assert len(told(probe, values={'"ends"': bad, '"is cut"': 4.0})) == 1


def test_an_uncertain_policy_fails(probe: Probe) -> None:
    probabilities = {**RIGHT.probabilities, '"ends"': np.array([0.06, 0.94])}
    (failure,) = told(probe, probabilities=probabilities)
    assert failure == 'action 1 has a probability of at least 0.95 in "ends": it has 0.94'
    nan = {**RIGHT.probabilities, '"ends"': np.array([np.nan, np.nan])}
    assert len(told(probe, probabilities=nan)) == 1


def test_illegal_actions_low_returns_and_exceptions_fail(probe: Probe) -> None:
    assert "3 were" in told(probe, illegal=3)[0]
    assert told(probe, returns=np.full(20, 0.85)) == [
        "deterministic play returns at least 0.9 on average: it returns 0.85"
    ]
    assert told(probe, returns=np.empty(0)) and told(probe, returns=np.array([np.nan]))
    assert told(probe, raised="KeyError: 'advantages'") == ["it trains: raised KeyError: 'advantages'"]


def test_a_value_is_not_blamed_for_the_policy() -> None:
    """What is claimed is the best policy's value; while another is played, only a known wrong answer has a cause."""
    probe = probes.get("probe-competitive")
    right, wrong = {"the start": np.array([0.0, 1.0])}, {"the start": np.array([1.0, 0.0])}
    given = Answers(values={"the start": 2.0}, returns=np.ones(3))
    blamed, spared = (
        [failure.cause for failure in judge(probe, dataclasses.replace(given, probabilities=each))]
        for each in (right, wrong)
    )
    assert len(blamed) == 1 and blamed[0] is not None and "the partner does not learn" in blamed[0]
    assert spared == ["the learner is taught with the partner's reward", None]
