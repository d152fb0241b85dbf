"""What is noted of a multi-agent environment while it is played: breaches of what RLlib's episodes need, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from captures import Collected
from gymnasium import spaces

from parity.capture.rllib.env_contract import EnvContractReader, misfit
from parity.frameworks.rllib.env_tap import EnvTap
from parity.ladder.run_rungs import run_rungs
from parity.results.capture import EnvContract
from parity.selftest.good import SORTER
from parity.selftest.register import BUGS, load
from parity.selftest.run import judge_bug

load()
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
DICT = spaces.Dict({"box": BOX, "number": spaces.Discrete(3)})
ONE = np.zeros(2, np.float32)


class Script:
    """Two agents; returns what it is told to."""

    possible_agents = ("a", "b")

    def __init__(self, *results: Any, start: Any = None) -> None:
        self._results = iter(results)
        self._start = ({"a": ONE, "b": ONE}, {}) if start is None else start

    def get_observation_space(self, agent: str) -> spaces.Space:
        return BOX

    def reset(self, seed: int | None = None) -> Any:
        return self._start

    def step(self, action_dict: Any) -> Any:
        return next(self._results)


def breaches(env: Script, *actions: Any) -> set[str]:
    contract = EnvContract()
    tapped = EnvTap(env, EnvContractReader(contract, env, "here"))
    tapped.reset()
    for acting in actions:
        tapped.step(dict.fromkeys(acting, 0))
    return set(contract.breaches)


BOTH, PAID, GOING = {"a": ONE, "b": ONE}, {"a": 1.0, "b": 0.0}, {"__all__": False}
OVER = {"__all__": True}


@pytest.mark.parametrize(
    ("results", "actions"),
    [
        ([(BOTH, PAID, OVER, GOING, {})], ["ab"]),
        ([(BOTH, PAID, GOING, OVER, {})], ["ab"]),
        ([({}, PAID, OVER, GOING, {})], ["ab"]),  # nothing is shown at a termination
        ([({"b": ONE}, {}, GOING, GOING, {}), (BOTH, PAID, OVER, GOING, {})], ["a", "b"]),  # turns
        (
            [(BOTH, PAID, {"a": True, "__all__": False}, GOING, {}), ({"b": ONE}, {"b": 1.0}, OVER, GOING, {})],
            ["ab", "b"],
        ),
        ([({"a": ONE}, {"a": 1.0}, {"b": True, "__all__": False}, GOING, {})], ["a"]),  # one that has not acted leaves
        ([(BOTH, PAID, {"a": True, "b": True, "__all__": True}, GOING, {})], ["ab"]),
        ([({"a": ONE}, {"a": 1.0, "b": 0.0}, GOING, GOING, {"__common__": 1})], ["ab"]),  # b waits
    ],
)
def test_good_conduct_is_not_noted(results: Any, actions: Any) -> None:
    assert breaches(Script(*results), *actions) == set()


@pytest.mark.parametrize(
    ("kind", "results", "actions"),
    [
        ("no_all", [(BOTH, PAID, {}, GOING, {})], ["ab"]),
        ("all_by_name", [(BOTH, PAID, {"a": True, "b": True, "__all__": False}, GOING, {})], ["ab"]),
        ("no_reward", [(BOTH, {"a": 1.0}, GOING, GOING, {})], ["ab"]),
        ("no_last_reward", [({}, {"a": 1.0}, OVER, GOING, {})], ["ab"]),
        ("no_last_observation", [({"a": ONE}, PAID, GOING, OVER, {})], ["ab"]),
        ("no_last_observation", [({"b": ONE}, {}, GOING, GOING, {}), ({"b": ONE}, PAID, GOING, OVER, {})], ["a", "b"]),
        ("unknown", [({**BOTH, "c": ONE}, PAID, GOING, GOING, {})], ["ab"]),
        ("unknown", [(BOTH, PAID, {"c": False, "__all__": False}, GOING, {})], ["ab"]),
        (
            "after_end",
            [(BOTH, PAID, {"a": True, **GOING}, GOING, {}), (BOTH, {"b": 0.0}, GOING, GOING, {})],
            ["ab", "b"],
        ),
        ("outside", [({"a": ONE, "b": np.zeros(3, np.float32)}, PAID, GOING, GOING, {})], ["ab"]),
        ("bounds", [({"a": ONE, "b": ONE + 2}, PAID, GOING, GOING, {})], ["ab"]),
        ("form", [(BOTH, PAID, OVER, {})], ["ab"]),
        ("form", [None], ["ab"]),
    ],
)
def test_each_breach_is_noted_by_its_kind_alone(kind: str, results: Any, actions: Any) -> None:
    assert breaches(Script(*results), *actions) == {kind}


def test_an_agent_that_left_comes_back_with_the_next_episode() -> None:
    env = Script((BOTH, PAID, {"a": True, **GOING}, GOING, {}), (BOTH, PAID, GOING, GOING, {}))
    contract = EnvContract()
    tapped = EnvTap(env, EnvContractReader(contract, env, "here"))
    for _ in range(2):
        tapped.reset()
        tapped.step({"a": 0, "b": 0})
    assert not contract.breaches and contract.episodes == 2


@pytest.mark.parametrize(
    ("space", "value", "found"),
    [
        (BOX, ONE, None),
        (BOX, np.zeros(2), (False, "float64")),
        (BOX, np.array([0, 2], np.float32), (False, "bounds")),
        (BOX, np.array([0, np.nan], np.float32), (True, "NaN")),
        (BOX, np.zeros((1, 2), np.float32), (True, "shape")),
        (DICT, {"box": ONE, "number": 2}, None),
        (DICT, {"box": ONE}, (True, '"number"')),
        (DICT, {"box": ONE, "number": 3}, (True, "3")),
        (DICT, {"box": ONE, "number": 1, "more": 0}, (False, '"more"')),
        (DICT, {"box": ONE + 2, "number": 7}, (True, "7")),
        (DICT, ONE, (True, "ndarray")),
        (spaces.Tuple((BOX, DICT)), (ONE, {"box": ONE, "number": 2}), None),
        (spaces.Tuple((BOX, DICT)), (np.zeros(2), {"box": ONE, "number": 2}), (False, "float64")),
        (spaces.Tuple((BOX, DICT)), (ONE, {"box": ONE}), (True, '"number"')),
        (spaces.Tuple((BOX, DICT)), ONE, (True, "Tuple of 2")),
    ],
)
def test_bounds_and_dtype_are_told_from_structure(space: Any, value: Any, found: Any) -> None:
    told = misfit(space, value)
    assert (told is None) == (found is None)
    if told is not None:
        assert told[0] == found[0] and found[1] in told[1]


@pytest.mark.parametrize("name", ["one-last-observation-for-two", "rewards-by-other-ids"])
def test_a_breach_is_the_root_of_the_rollout_that_it_stops(name: str, collected: Collected) -> None:
    result = judge_bug(BUGS[name], run_rungs(collected(name)))
    assert result.outcome == "caught", result
    assert "rollout" in result.rungs and "PAR312" not in result.roots, result


def test_a_third_agent_that_never_appears_is_a_risk_and_no_error(collected: Collected) -> None:
    result = judge_bug(BUGS["agent-never-appears"], run_rungs(collected("agent-never-appears")))
    assert result.rungs == [] and result.findings == ["PAR046"]
    assert SORTER not in result.message
