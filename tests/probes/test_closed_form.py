"""Reference scores and claims of every probe against all episodes that its environment has."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from enumerate_probe import best, mean_return, policies, uniform_legal, values

from parity import probes
from parity.probes.claims import ActionIsCertain, Probe, ValueIs
from parity.task.registry import load, resolve


@pytest.fixture(params=probes.names())
def probe(request: pytest.FixtureRequest) -> Probe:
    return probes.get(request.param)


def test_the_reference_is_what_the_environment_pays(probe: Probe) -> None:
    assert probe.task.reference is not None
    assert uniform_legal(probe.task) == pytest.approx(probe.task.reference["uniform_legal"], abs=1e-9)
    assert best(probe.task)[0] == pytest.approx(probe.task.reference["best"], abs=1e-9)


def test_claimed_values_are_those_of_the_best_policy(probe: Probe) -> None:
    table = values(probe.task, best(probe.task)[1])
    claims = [claim for claim in probe.claims if isinstance(claim, ValueIs)]
    for claim in claims:
        seen = int(np.argmax(probe.states[claim.state].observation))
        assert claim.expected == pytest.approx(table[seen], abs=1e-6), claim.state
    assert claims or probe.task.id == "probe-forced"


def test_every_best_policy_plays_the_actions_that_are_claimed(probe: Probe) -> None:
    """Of all deterministic policies, those with the best return agree on the claimed actions."""
    top, _ = best(probe.task)
    winners = [policy for policy in policies(probe.task) if mean_return(probe.task, policy) == pytest.approx(top)]
    for claim in probe.claims:
        if isinstance(claim, ActionIsCertain):
            state = probe.states[claim.state]
            here = (int(np.argmax(state.observation)), tuple(state.mask.tolist()))
            assert {policy[here] for policy in winners} == {claim.action}, claim.state


def test_a_symptom_is_told_apart_from_the_right_answer(probe: Probe) -> None:
    for claim in probe.claims:
        for symptom in claim.symptoms:
            if isinstance(claim, ValueIs):
                assert abs(symptom.answer - claim.expected) > 2 * claim.tolerance, symptom
            assert symptom.cause


def test_the_probe_is_the_task_of_its_id(probe: Probe) -> None:
    assert load(resolve(probe.task.id)) is probe.task


SYMPTOMS = {
    "termination for truncation": ("probe-time-limit", '"is cut"', {"bootstraps": False}, 1.0),
    "truncation for termination": ("probe-time-limit", '"ends"', {"ends": False}, 4.0),
    "lambda 1": ("probe-lambda", "both steps", {"gae_lambda": 1.0}, 0.55),
    "lambda 0": ("probe-lambda", "both steps", {"gae_lambda": 0.0}, 2 / 1.1),
    "no discount": ("probe-previous-step", "the start", {"gamma": 1.0}, 1.0),
    "an end that is bootstrapped": ("probe-one-action", "the start", {"ends": False}, 2.0),
}


@pytest.mark.parametrize("name", SYMPTOMS)
def test_symptoms_are_computed_not_guessed(name: str) -> None:
    probe_name, state, changes, answer = SYMPTOMS[name]
    probe = probes.get(probe_name)
    seen = int(np.argmax(probe.states[state].observation))
    wrong = values(probe.task, best(probe.task)[1], **changes)[seen]  # type: ignore[arg-type]
    assert wrong == pytest.approx(answer, abs=1e-6)
    claim = next(claim for claim in probe.claims if isinstance(claim, ValueIs) and claim.state == state)
    assert any(symptom.answer == pytest.approx(wrong, abs=1e-6) for symptom in claim.symptoms)


def test_lambda_does_not_ask_for_gamma() -> None:
    task = probes.get("probe-lambda").task
    for gamma in (0.5, 0.99):
        assert values(task, best(task)[1], gamma=gamma)[0] == pytest.approx(1.0)
