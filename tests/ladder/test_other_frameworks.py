"""How rungs judge numbers that are not RLlib's: its names, its settings and its environment are not assumed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from captures import Collected

from parity.ladder.run_rungs import run_rungs
from parity.results.capture import Capture, Configuration, Resets


@pytest.fixture
def outside(collected: Collected) -> Capture:
    """A good port as a framework captures it that has no settings of RLlib's and no multi-agent environment."""
    capture = copy.deepcopy(collected("one-agent", "rllib-exact"))
    context, config = capture.context, capture.context.configuration
    assert config is not None
    names = {"gamma": "discount", "learning_rate": "step_size"}
    context.configuration = Configuration(port=config.port, task=config.task, sb3=config.sb3, names=names)
    context.framework, context.plays_task_env = "other", True
    context.not_applicable = {"lockstep": "no stream of randomness"}
    for facts in context.modules.values():
        facts.runner_class, facts.forward_columns, facts.batch_changed = None, {}, []
    contract: Any = capture.contract
    contract.view, contract.asked_module, contract.resets = None, None, Resets(seeds=contract.resets.seeds)
    capture.installed_formula = capture.lockstep = None
    return capture


def test_numbers_of_another_framework_climb_the_same_rungs(outside: Capture) -> None:
    judged = run_rungs(outside)
    assert judged
    assert {name for name, result in judged.rungs.items() if result.status == "not_applicable"} == {"lockstep"}
    assert judged.rungs["lockstep"].reason == "no stream of randomness"
    assert judged.rungs["lockstep"].rung == 9


def test_a_number_that_is_missing_without_a_reason_is_still_no_pass(outside: Capture) -> None:
    outside.context.not_applicable = {}
    assert run_rungs(outside).rungs["lockstep"].status == "invalid"
    outside.context.plays_task_env = False
    assert run_rungs(outside).rungs["contract"].status == "invalid"


def test_hyperparameters_are_told_by_the_frameworks_own_names(outside: Capture) -> None:
    config = outside.context.configuration
    assert config is not None
    config.port = config.port | {"gamma": 0.5}
    (found,) = [each for each in run_rungs(outside).raw_findings if each.code == "PAR010"]
    assert found.fix == f"discount={config.task['gamma']!r}"
    assert not run_rungs(outside)
    assert run_rungs(outside, declared={"discount": "on purpose"})
