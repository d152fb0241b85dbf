"""Layouts of one agent's observation, nested or wrapped, with the mask wherever it stands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from climb import accused, climb
from gymnasium import spaces
from parcels import BAYS, DICT, OPEN, PORTS, Belt, HalfBlind, Network, Wrapped, task

from parity.errors import CannotStart
from parity.frameworks import get
from parity.frameworks.evaluation import evaluate
from parity.frameworks.network import build_network, by_path, is_nested, nested, network_input, stack_observations
from parity.frameworks.rllib.config import build_port
from parity.task.masks import MaskedEnv

TRIPLE = spaces.Tuple((spaces.Discrete(2), spaces.Dict({"a/b": spaces.Box(0, 1, (2,)), "c": spaces.Tuple((OPEN,))})))


@pytest.mark.parametrize("name", PORTS)
def test_a_port_of_another_layout_is_compared_and_holds(name: str) -> None:
    document = climb(PORTS[name])
    assert document.exit_code == 0, document.findings
    assert document.compared and accused(document) == []


def test_an_entry_deep_inside_that_never_reaches_the_network_is_seen() -> None:
    assert accused(climb(dataclasses.replace(PORTS["wrapped-dict"], rllib_module=HalfBlind)))[0] == "PAR101"


@pytest.mark.parametrize("framework", ["sb3", "rllib"])
def test_a_policy_of_nested_observations_is_the_same_from_its_checkpoint(framework: str, tmp_path: Path) -> None:
    trained = PORTS["tuple-by-method"]
    session = get(framework).open(trained, seed=0, device="cpu", threads=1)
    session.train(trained.ppo.rollout_steps, lambda _: None)
    session.save(tmp_path / "checkpoint")
    eval_runners = [session.eval_runner(2), get(framework).restore(trained, tmp_path / "checkpoint", 2)]
    first, again = (evaluate(each, 4, deterministic=True) for each in eval_runners)
    session.close()
    assert np.array_equal(first.returns, again.returns) and first.masks.violations == 0


def test_entries_by_path_are_put_together_again() -> None:
    assert is_nested(TRIPLE) and is_nested(DICT) and not is_nested(spaces.Dict({"a": OPEN})) and not is_nested(OPEN)
    rows = [TRIPLE.sample() for _ in range(3)]
    stacked = stack_observations(rows, TRIPLE)
    flat = by_path(stacked, TRIPLE)
    assert set(flat) == {"0", "1/a/b", "1/c/0"} == set(by_path(TRIPLE, TRIPLE).spaces)
    again = nested(flat, TRIPLE)
    assert isinstance(again, tuple) and isinstance(again[1]["c"], tuple)
    assert np.array_equal(again[1]["a/b"], np.stack([row[1]["a/b"] for row in rows]))
    seen = network_input(again, TRIPLE)
    assert seen[1]["c"][0].shape == (3, BAYS)


def test_an_observation_that_no_network_takes_is_one_sentence_with_its_path() -> None:
    space = spaces.Dict({"route": spaces.Tuple((DICT, spaces.Sequence(spaces.Discrete(3))))})
    with pytest.raises(CannotStart, match=r'entry "route/1" of the observation space is Sequence'):
        get("sb3").effective(task("sequence", lambda: Belt(space)), "cpu", 1)


class _MaskPerBranch(Belt):
    """Masks as a Tuple, one for each sub-action."""

    def __init__(self) -> None:
        super().__init__(spaces.Dict({"kind": spaces.Discrete(3)}))
        self.action_space = spaces.MultiDiscrete([2, BAYS])
        masks = spaces.Tuple((spaces.MultiBinary(2), OPEN))
        self.observation_space = spaces.Dict({"kind": spaces.Discrete(3), "action_mask": masks})

    def _next(self) -> Any:
        observation, info = super()._next()
        return observation | {"action_mask": (np.ones(2, np.int8), self.open)}, info

    action_masks = property()  # type: ignore[assignment]  # none


def test_masks_in_a_tuple_per_sub_action_are_one_sentence() -> None:
    env = MaskedEnv(_MaskPerBranch())
    with pytest.raises(CannotStart, match=r"a row for each sub-action, of 2 and 4 entries"):
        env.reset(seed=0)


def test_a_mask_in_a_tuple_of_a_brought_environment_is_one_sentence() -> None:
    def make() -> Wrapped:
        env = Wrapped(DICT)
        masks = spaces.Tuple((spaces.MultiBinary(2), spaces.MultiBinary(2)))
        env.observation_spaces = {"hand": spaces.Dict({"observations": DICT, "action_mask": masks})}
        return env

    brought = task("branches", lambda: Belt(DICT), multi_agent_env=make)
    with pytest.raises(CannotStart, match="make it one array of 4 entries"):
        build_port(brought, seed=0, device="cpu")


def test_the_network_is_built_for_the_nested_space_itself() -> None:
    assert build_network(Network, DICT, spaces.Discrete(BAYS), seed=0)
