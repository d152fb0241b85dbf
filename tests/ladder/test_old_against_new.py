"""The two API stacks of one port against each other: a good move holds, what is lost in it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from old_ports import MOVES, moved

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


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in MOVES])
def test_what_is_lost_in_the_move_is_named(name: str) -> None:
    task, code = MOVES[name]
    result = ladder(task)
    assert not result
    assert code in [each.code for each in result.raw_findings if each.is_error and each.root is None]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["tiles", "tictactoe-selfplay"])
def test_the_reference_ports_hold(task: str) -> None:
    result = ladder(registry.load(registry.resolve(task)))
    assert result and not result.not_compared


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
