"""The ladder of ports on RLlib's old API stack: good ones hold, mistakes are named, and the reported port's story is told."""

from __future__ import annotations

from typing import Any

import old_ports
import pytest
import torch
from old_ports import GOOD, MISTAKES, Raising, edited, finished, port, recurrent
from parity_envs.reported.old_stack import task as reported

import parity
from parity.bisect.jobs import FindParts
from parity.capture import against_old_stack, collect
from parity.errors import CannotStart
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.task import Task, registry

NAME = "rllib-old-stack"
QUICK = ("mask lost", "default model", "filter", "gamma of one policy", "own model", "complete episodes")


def ladder(task: Task, framework: str = NAME) -> LadderResult:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        capture = collect(task, framework, "cpu")
    finally:
        torch.set_num_threads(threads)
    assert capture is not None
    return run_rungs(capture)


@pytest.fixture(scope="module")
def of_own_model() -> LadderResult:
    return ladder(port())


def cases(named: dict[str, Any]) -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in named]


@pytest.mark.parametrize("name", cases(MISTAKES))
def test_a_mistake_of_an_old_port_is_named(name: str) -> None:
    task, codes = MISTAKES[name]
    result = ladder(task)
    found = {each.code for each in result.raw_findings if each.severity != "info"}
    assert found & set(codes)
    roots = {each.code for each in result.raw_findings if each.is_error and each.root is None}
    assert len(roots) <= 2, f"one mistake, many accusations: {roots}"
    assert not result or result.not_compared, "it was called equal"


@pytest.mark.parametrize("name", cases(GOOD))
def test_a_good_old_port_is_accused_of_nothing(name: str) -> None:
    result = ladder(GOOD[name])
    assert result and not result.not_compared
    assert not [each.code for each in result.raw_findings if each.severity != "info"]


def test_every_difference_of_the_old_stack_is_told_with_its_share(of_own_model: LadderResult) -> None:
    told = {each.code: each.evidence for each in of_own_model.raw_findings}
    assert told["PAR123"]["share_of_rows"] == 1 / 64
    for code in ("PAR810", "PAR811"):
        assert 0 < told[code]["share_of_update"] < 1
    assert of_own_model.rungs["update"].status == "explained" and of_own_model.rungs["returns"].status == "explained"
    assert of_own_model.rungs["lockstep"].status == "not_applicable"


def test_the_old_stack_deals_minibatches_as_sb3_does_where_policies_have_names(of_own_model: LadderResult) -> None:
    """RLlib's loop for several policies shuffles all rows anew in each epoch; its loop for one policy does not."""
    assert (of_own_model.rungs["update"].model_extra or {})["shares"]["minibatches"] == 0
    whole = ladder(GOOD["finished configuration"]).rungs["update"].model_extra or {}
    assert whole["shares"]["minibatches"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["taxi", "tictactoe-selfplay", "tiles-time-limit"])
def test_the_reference_port_holds_on_every_rung_that_applies(task: str) -> None:
    result = ladder(registry.load(registry.resolve(task)))
    assert result and not result.not_compared


def test_the_reported_ports_old_form_holds_and_its_new_form_is_par003() -> None:
    """The story: a masked TorchModelV2 that worked, moved to an RLModule that is no ValueFunctionAPI."""
    old = ladder(reported)
    assert old and not old.not_compared, [each.message for each in old.raw_findings if each.is_error]
    new = ladder(reported, "rllib")
    assert [each.code for each in new.raw_findings if each.is_error and each.root is None] == ["PAR003"]


def test_a_recurrent_policy_is_one_sentence() -> None:
    task = edited(recurrent, rllib_old_model=None)
    with pytest.raises(
        CannotStart, match="policy agent is recurrent, of which the ladder of the old API stack compares"
    ):
        collect(task, NAME, "cpu")
    with pytest.raises(CannotStart, match="--old-against-new: policy agent is recurrent"):
        against_old_stack(task)


def test_a_model_that_raises_is_named_against_the_new_stack_too() -> None:
    capture = against_old_stack(port(rllib_old_model=Raising))
    assert capture is not None
    assert [each.code for each in run_rungs(capture).raw_findings if each.is_error and each.root is None] == ["PAR001"]


def test_no_parts_of_an_old_port_are_exchanged() -> None:
    ref = registry.resolve(f"{old_ports.__file__}:OLD_ALONE")
    with pytest.raises(CannotStart, match="its port is on RLlib's old API stack alone"):
        FindParts("old_ports.py:OLD_ALONE").run(ref)


def test_no_training_of_an_old_port_is_watched() -> None:
    with pytest.raises(CannotStart, match="on RLlib's old API stack, which has no Learner to look at"):
        parity.watch(finished())
