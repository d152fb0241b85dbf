"""A task at one point of a sweep: what is asked for is varied, nothing else, and what cannot be is a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest

from parity import PPOParams, Task
from parity.bench.options import SWEPT, BenchOptions, sweeps
from parity.bench.variations import concerns, varied
from parity.errors import CannotStart


def network(observation_space: Any, action_space: Any, width: int = 1) -> int:
    return width


def task(**fields: Any) -> Task:
    return Task(id="t", env=gymnasium.Env, **{"network": network, "ppo": PPOParams(n_envs=4, n_steps=64)} | fields)


def test_hyperparameters_width_and_fields_of_rllib_are_varied_together() -> None:
    given = task(rllib_config=lambda config: SimpleNamespace(**vars(config), own=True))
    there = varied(given, {"n_envs": 8, "batch_size": 128, "width": 3, "env_runners": 2, "threads": 2})
    assert (there.ppo.n_envs, there.ppo.n_steps, there.ppo.batch_size) == (8, 64, 128)
    assert there.network is not None and there.network(None, None) == 3  # type: ignore[arg-type]
    config = there.rllib_config(SimpleNamespace(num_env_runners=0))  # type: ignore[operator,arg-type]
    assert (config.num_env_runners, config.own) == (2, True), "after what the port's own function does"
    assert given.ppo.n_envs == 4


def test_a_finished_configuration_is_copied() -> None:
    given = task(rllib_config={"num_learners": 0})
    assert varied(given, {"learners": 1}).rllib_config == {"num_learners": 1}
    assert given.rllib_config == {"num_learners": 0}


def test_what_a_task_cannot_be_is_a_sentence() -> None:
    with pytest.raises(CannotStart, match=r"--sweep batch_size=1: "):
        varied(task(), {"batch_size": 1})
    with pytest.raises(CannotStart, match="takes no argument width"):
        varied(task(network=lambda observation_space, action_space: None), {"width": 2})


@pytest.mark.parametrize("text", ["speed=1", "n_envs=8,many", "n_envs=8,8", "n_envs=0", "n_envs"])
def test_a_sweep_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("=")[0]):
        BenchOptions(sweep=[text])


def test_only_rllib_has_processes_to_vary() -> None:
    assert sweeps(["env_runners=0,2", "n_envs=8"]) == {"env_runners": [0, 2], "n_envs": [8]}
    assert [name for name in SWEPT if not concerns(name, "sb3")] == ["env_runners", "learners"]
    assert concerns("learners", "rllib-exact")
