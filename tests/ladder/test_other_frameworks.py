"""What the rungs make of numbers that are not RLlib's: its names, its settings and its environment are not assumed."""

from __future__ import annotations

from typing import Any

import pytest
from captures import Collected

from parity.ladder.run_rungs import run_rungs
from parity.results.capture import Numbers


@pytest.fixture
def outside(collected: Collected) -> Numbers:
    """A good port's numbers as a framework collects them that has no settings of RLlib's and no multi-agent environment."""
    good = collected("one-agent", "rllib-exact")
    numbers = Numbers(dict(good.arrays), dict(good.facts))
    own: dict[str, Any] = {name: numbers.facts["config"][name] for name in ("port", "task", "sb3")}
    numbers.facts["config"] = own | {"names": {"gamma": "discount", "learning_rate": "step_size"}}
    numbers.facts["framework"] = "other"
    for name in ("ray", "view", "forward_columns", "batch_changed", "starts", "asked_module"):
        numbers.facts.pop(name, None)
    rllibs = ("runner_class", "value_function_api", "compute_values")
    numbers.facts["modules"] = {
        module: {name: value for name, value in about.items() if name not in rllibs}
        for module, about in numbers.facts["modules"].items()
    }
    for name in [name for name in numbers.arrays if name.startswith(("view/", "lockstep/"))]:
        del numbers.arrays[name]
    del numbers.facts["lockstep"]
    numbers.facts["plays_task_env"] = True
    numbers.facts["not_applicable"] = {"lockstep": "no stream of randomness"}
    return numbers


def test_numbers_of_another_framework_climb_the_same_rungs(outside: Numbers) -> None:
    judged = run_rungs(outside)
    assert judged
    assert {name for name, result in judged.rungs.items() if result.status == "not_applicable"} == {"lockstep"}
    assert judged.rungs["lockstep"].reason == "no stream of randomness"
    assert judged.rungs["lockstep"].rung == 9


def test_a_number_that_is_missing_without_a_reason_is_still_no_pass(outside: Numbers) -> None:
    outside.facts["not_applicable"] = {}
    assert run_rungs(outside).rungs["lockstep"].status == "invalid"
    del outside.facts["plays_task_env"]
    assert run_rungs(outside).rungs["contract"].status == "invalid"


def test_hyperparameters_are_told_by_the_frameworks_own_names(outside: Numbers) -> None:
    port = dict(outside.facts["config"]["port"])
    outside.facts["config"] = outside.facts["config"] | {"port": port | {"gamma": 0.5}}
    (found,) = [each for each in run_rungs(outside).found if each.code == "PAR010"]
    assert found.fix == f"discount={outside.facts['config']['task']['gamma']!r}"
    assert not run_rungs(outside)
    assert run_rungs(outside, declared={"discount": "on purpose"})
