"""RLlib's own check of an environment draws illegal actions by chance; parity says the same of it every time."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from cases import strict_env

from parity.capture import collect
from parity.capture.rllib.env_check import checked_by_rllib
from parity.frameworks.rllib.config import build_port
from parity.ladder.run_rungs import run_rungs
from parity.system.subprocesses import HASH_SEED, run_in_subprocess


def refused(**changes: Any) -> dict[str, Any]:
    return checked_by_rllib(build_port(strict_env.task(strict_env.finished(**changes)), 0, "cpu"))


def test_an_illegal_action_that_the_environment_refuses_is_found_every_time() -> None:
    errors = [refused()["illegal"] for _ in range(8)]
    assert {(error.type, error.message) for error in errors} == {("KeyError", errors[0].message)}
    assert errors[0].place is not None and errors[0].place.startswith("strict_env.py, line ")


def test_what_has_nothing_to_do_with_masks_is_told_apart() -> None:
    assert list(refused(env=strict_env.NotAmongAgents)) == ["legal"]


def test_nothing_is_said_where_the_configuration_disables_the_check() -> None:
    assert refused(disable_env_checking=True) == {}


def test_the_ladder_goes_on_without_the_check_and_names_what_rllib_would_have_met() -> None:
    torch.set_num_threads(1)
    capture = collect(strict_env.checked, "rllib", "cpu")
    assert capture is not None
    result = run_rungs(capture)
    errors = [each for each in result.findings("table", "rllib") if each.severity == "error"]
    assert [each.code for each in errors] == ["PAR060"]
    assert errors[0].fix is not None and "disable_env_checking=True" in errors[0].fix
    assert not capture.context.raised


def test_processes_that_look_at_a_task_hash_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HASH_SEED, raising=False)
    assert len({run_in_subprocess(hash, "an agent's name", about="a test") for _ in range(2)}) == 1
    assert HASH_SEED not in os.environ
    monkeypatch.setenv(HASH_SEED, "7")
    assert run_in_subprocess(os.getenv, HASH_SEED, about="a test") == "7"
