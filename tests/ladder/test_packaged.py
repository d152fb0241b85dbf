"""Environments as packages ship them: what is theirs is said of them, with a remedy that works, and the port is not accused."""

from __future__ import annotations

import pytest
import torch
from cases import packaged

from parity.capture import collect
from parity.errors import CannotStart
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.results.capture import Capture
from parity.results.summary import Finding
from parity.task import Task
from parity.task.masks import check_env


def climbed(task: Task, framework: str = "rllib-exact") -> tuple[Capture, LadderResult]:
    torch.set_num_threads(1)
    capture = collect(task, framework, "cpu")
    assert capture is not None
    return capture, run_rungs(capture)


def told(result: LadderResult) -> dict[str, Finding]:
    """Code -> finding, of errors and warnings."""
    return {each.code: each for each in result.findings("", "") if each.severity != "info"}


@pytest.mark.parametrize("task", [packaged.reseeds, packaged.instance], ids=["reseeds", "draws an instance"])
def test_a_generator_from_entropy_is_the_environments_and_the_remedy_works(task: Task) -> None:
    capture, result = climbed(task)
    assert result and not result.not_compared
    assert list(told(result)) == ["PAR035"]
    assert "parity.Repeatable(MyEnv)" in str(told(result)["PAR035"].fix)
    assert capture.contract.view.made_repeatable
    assert result.rungs["lockstep"].status == "not_applicable" and "PAR035" in str(result.rungs["lockstep"].reason)


def test_an_environment_made_repeatable_stays_in_lockstep() -> None:
    _, result = climbed(packaged.repeatable)
    assert result and not told(result)
    assert result.rungs["lockstep"].status == "pass"


def test_a_remedy_that_does_not_work_is_not_offered() -> None:
    _, result = climbed(packaged.unrepeatable, "rllib")
    assert result and list(told(result)) == ["PAR035"]
    assert "parity.Repeatable was tried" in str(told(result)["PAR035"].fix)


@pytest.mark.parametrize("task", [packaged.dead_ends, packaged.strict_dead_ends], ids=["plays on", "raises"])
def test_a_dead_end_is_the_one_root_with_its_remedy(task: Task) -> None:
    _, result = climbed(task, "rllib")
    errors = {code: each for code, each in told(result).items() if each.severity == "error"}
    assert not result and list(errors) == ["PAR005"]
    assert "End the episode where nothing is legal" in str(errors["PAR005"].fix)


def test_games_that_are_over_before_the_players_first_turn_accuse_nobody() -> None:
    capture, result = climbed(packaged.betting)
    assert result and not told(result)
    played = capture.context.decisions
    assert played is not None and played["dealer"].played > played["player"].played


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (packaged.CannotBeMade, "env raised FileNotFoundError: no instance ta01.txt (packaged.py, line "),
        (packaged.CannotBeReset, "env raised TypeError: `raise TypeError` in packaged.py, line "),
        (packaged.OtherNames, 'Task(mask="method:valid_action_mask") (or method:legal_actions)'),
        (packaged.OnlyAList, 'Task(mask="info:legal_moves"); where that lists actions, add a method action_masks()'),
    ],
)
def test_what_cannot_be_played_is_one_sentence_before_anything_is_compared(env: type, says: str) -> None:
    for act in (lambda: check_env(env, None, "Task x"), lambda: collect(packaged.task(env), "rllib", "cpu")):
        with pytest.raises(CannotStart) as caught:
            act()
        assert says in str(caught.value) and "\n" not in str(caught.value)
