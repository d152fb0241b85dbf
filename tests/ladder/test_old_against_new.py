"""The two API stacks of one port against each other: a good move holds, what is lost in it is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from old_ports import ALIKE, MOVES, Model, NewModule, as_multi_agent, moved, port
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from parity.capture import against_old_stack
from parity.cli import call
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.task import Task, registry

QUICK = ("mask lost", "lambda dropped", "filter dropped")


def ladder(task: Task) -> LadderResult:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_rungs(against_old_stack(task))
    finally:
        torch.set_num_threads(threads)


def test_a_good_move_holds_with_every_difference_of_the_stacks_told() -> None:
    result = ladder(moved())
    assert result and not result.not_compared
    assert not [each.code for each in result.raw_findings if each.severity != "info"]
    shares = (result.rungs["update"].model_extra or {})["shares"]
    assert shares["adam_eps"] == 0, "both build Adam with PyTorch's epsilon"
    assert shares["minibatches"] > 0


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "term of KL" else pytest.mark.slow) for n in ALIKE])
def test_what_both_stacks_have_and_sb3_has_not_is_no_difference(name: str) -> None:
    result = ladder(ALIKE[name])
    assert result and not result.not_compared, [each.message for each in result.raw_findings if each.is_error]
    assert not [each.code for each in result.raw_findings if each.severity != "info"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in MOVES])
def test_what_is_lost_in_the_move_is_named(name: str) -> None:
    task, code = MOVES[name]
    result = ladder(task)
    assert not result
    told = [result.rungs, result.findings("moved", "rllib")]
    assert not re.search(r"\bSB3\b", str(told)), "the old stack stands in its place"
    assert code in [each.code for each in result.raw_findings if each.is_error and each.root is None]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["tiles", "tictactoe-selfplay"])
def test_the_reference_ports_hold(task: str) -> None:
    result = ladder(registry.load(registry.resolve(task)))
    assert result and not result.not_compared


@pytest.mark.slow
def test_what_translate_writes_computes_what_the_old_configuration_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {
        "framework": "torch", "lr": 1e-3, "gamma": 0.95, "lambda": 0.9, "clip_param": 0.1, "entropy_coeff": 0.01,
        "grad_clip": 0.5, "vf_loss_coeff": 0.5, "vf_clip_param": 1000.0, "use_kl_loss": False, "seed": 0,
        "train_batch_size": 256,
    }  # fmt: skip
    # Names that ray 2.60 does not take any more, and those that it does.
    renamed = {"sgd_minibatch_size": 64, "num_sgd_iter": 3, "num_workers": 0, "num_envs_per_worker": 2}
    still = {"minibatch_size": 64, "num_epochs": 3, "num_env_runners": 0, "num_envs_per_env_runner": 2}
    (tmp_path / "old.json").write_text(json.dumps(old | renamed))
    assert call(["translate", str(tmp_path / "old.json"), "--old-stack"]) == 0
    scope: dict[str, Any] = {}
    exec(capsys.readouterr().out, scope)
    new = scope["config"].rl_module(rl_module_spec=RLModuleSpec(module_class=NewModule))
    new.multi_agent(policies={"agent"}, policy_mapping_fn=lambda *_, **__: "agent")
    of_old = (
        old
        | still
        | {
            "model": {"custom_model": Model},
            "policies": {"agent"},
            "policy_mapping_fn": lambda *_, **__: "agent",
        }
    )
    task = port(rllib_old_model=None, rllib_old_config=of_old, rllib_config=new, multi_agent_env=as_multi_agent)
    result = ladder(task)
    assert result and not result.not_compared, [each.message for each in result.raw_findings if each.is_error]


FILE = f"{Path(__file__).with_name('old_ports.py')}:LAMBDA_DROPPED"


def test_the_command_takes_no_frameworks(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--task", FILE, "--old-against-new", "--frameworks", "rllib"]) == 2
    assert "leave --frameworks out" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_names_the_old_stack_in_sb3s_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["check", "--task", FILE, "--old-against-new", "--json"]) == 1
    out: Any = capsys.readouterr()
    document = json.loads(out.out)
    assert document["findings"][0]["code"] == "PAR010" and "SB3" not in json.dumps(document)
