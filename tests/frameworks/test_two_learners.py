"""A second agent changes nothing for the first one where it cannot matter: numbers, from the same streams of randomness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium import spaces

from parity import Task
from parity.capture.lockstep_common import Length, Streams
from parity.capture.rllib.side import PortSide
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.exact.framework import RllibExact
from parity.results.study import CURVE_FILE, agent_column, agents_of
from parity.selftest.good import CLERK, SORTER
from parity.selftest.good import good_port as sorting
from parity.selftest.ports.agents import one_agent, two_learning_agents
from parity.selftest.ports.games import Doors, turn_based_pair
from parity.study.trial import TrialSpec, run_trial
from parity.task.pettingzoo import AgainstOpponents
from parity.task.registry import resolve

LENGTH = Length(iterations=2, n_envs=3, n_steps=16, minibatches=(13, 2))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def after(task: Task, agents: set[str]) -> tuple[dict[str, torch.Tensor], dict[str, bool]]:
    """The learning agent's parameters after two iterations from seed 0, and which agents' parameters have moved."""
    port = RllibExact().port(replace(task, rllib_module=None, other_modules={}), 0, "cpu")
    side = PortSide(port, LENGTH, Streams(0), on_step=lambda: None)
    modules = {agent: side.learner.module[agent].unwrapped() for agent in agents}
    start = {agent: [p.detach().clone() for p in module.parameters()] for agent, module in modules.items()}
    try:
        for iteration in range(LENGTH.iterations):
            side.iterate(iteration, (LENGTH.n_steps, LENGTH.n_envs))
        moved = {
            agent: any(not torch.equal(a, b) for a, b in zip(start[agent], module.parameters(), strict=True))
            for agent, module in modules.items()
        }
        return {name: p.clone() for name, p in side.parameters.items()}, moved
    finally:
        side.close()


def freeze_the_clerk(config: Any) -> Any:
    return config.multi_agent(policies_to_train=[SORTER])


def test_a_second_agent_that_cannot_matter_changes_no_bit_of_the_first() -> None:
    """Absent, with one action, with two actions and learning, with two actions and frozen."""
    alone, _ = after(one_agent(), {SORTER})
    for task, clerk_learns in (
        (sorting(), False),
        (two_learning_agents(), True),
        (replace(two_learning_agents(), rllib_config=freeze_the_clerk), False),
    ):
        beside, moved = after(task, {SORTER, CLERK})
        assert moved == {SORTER: True, CLERK: clerk_learns}
        assert all(torch.equal(alone[name], beside[name]) for name in alone)


class OneWord(Doors):
    """The speaker has one word: it takes its turn, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_spaces["speaker"] = spaces.Dict(
            {"right": spaces.Discrete(3), "action_mask": spaces.Box(0, 1, (1,), np.int8)}
        )
        self.action_spaces["speaker"] = spaces.Discrete(1)

    def observe(self, agent: str) -> Any:
        seen = super().observe(agent)
        return seen | ({"action_mask": np.ones(1, np.int8)} if agent == "speaker" else {})


def rows(task: Task) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Advantages and rewards of the listener's decisions in one rollout of one environment, 24 turns of its own long."""
    port = RllibExact().port(task, 0, "cpu")
    turns = 1 if task.multi_agent_env is None else 2
    config = port.config.copy(copy_frozen=False)
    config.num_envs_per_env_runner, config.seed = 1, 0
    config.rollout_fragment_length = config.train_batch_size_per_learner = 24 * turns
    runner: Any = make_env_runner(config)
    learner: Any = config.build_learner(env=None, spaces=runner.get_spaces())
    runner.set_state({"rl_module": learner.get_state(components="rl_module")["rl_module"]})
    uniforms = np.random.default_rng(0).random((24, 1, 1))
    drawn = iter(uniforms)
    runner.uniforms[port.learning_module] = lambda n, k: next(drawn)
    episodes = runner.sample()
    batch = learner._learner_connector(
        rl_module=learner.module, batch={}, episodes=episodes, shared_data={}, metrics=learner.metrics
    )[port.learning_module]
    runner.stop()
    return np.asarray(batch["advantages"]), np.asarray(batch["rewards"])


def test_turns_of_an_agent_with_one_action_change_no_advantage_of_the_other() -> None:
    """Discounting is by the agent's own steps, rewards between its turns are summed: as in the single-agent form."""
    alone = rows(replace(turn_based_pair(), env=one_word, multi_agent_env=None, learning_agent=None))
    in_turns = rows(replace(turn_based_pair(), env=one_word, multi_agent_env=OneWord))
    assert len(alone[0]) == 24 and np.ptp(alone[0]) > 0 and set(alone[1]) == {0.0, 1.0}
    # The last decision waits for its next observation, and the last episode (of 4 decisions at most) for its end.
    assert len(in_turns[0]) == 23
    for a, b in zip(alone, in_turns, strict=True):
        np.testing.assert_array_equal(a[:19], b[:19])


def one_word() -> AgainstOpponents:
    return AgainstOpponents(OneWord(), "listener")


def test_a_trial_keeps_the_returns_of_the_other_learning_agent(tmp_path: Path) -> None:
    """Both are paid alike here, so the two curves are one; the speaker is compared with nothing."""
    (tmp_path / "pair.py").write_text(
        "from dataclasses import replace\nfrom parity.selftest.ports.games import turn_based_pair\n"
        "task = replace(turn_based_pair(), steps=256, eval_every=256, eval_episodes=8)\n"
    )
    spec = TrialSpec(
        resolve(str(tmp_path / "pair.py")), "doors", "rllib", 0, 256, "cpu", 1, str(tmp_path / "trial"), processes=1
    )
    run_trial(spec, lambda *_: None)
    curve = pd.read_parquet(tmp_path / "trial" / CURVE_FILE)
    assert agents_of(curve) == ["speaker"] and len(curve) == 2
    for column in ("return_mean", "return_std", "sampled_return_mean"):
        np.testing.assert_allclose(curve[agent_column("speaker", column)], curve[column])
    assert (curve["return_mean"] > 0).all()
