"""Modules and multi-agent environments that a task brings are taken as they are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from ports import HelperModule, OwnModule, Pair, opened, port, refusal

from parity.frameworks.evaluation import evaluate
from parity.frameworks.network import weights_hash
from parity.task.masks import MaskCounts
from parity.task.registry import load, resolve
from parity.testing.toy_envs import Maze, maze_task

pytestmark = pytest.mark.usefixtures("ray_started")


def test_a_brought_module_runs_as_it_is_and_starts_from_its_own_weights() -> None:
    with opened(maze_task(rllib_module=OwnModule)) as session, opened(maze_task()) as reference:
        module = session.algorithm.get_module("agent")
        assert type(module) is OwnModule
        learned = session.algorithm.learner_group._learner.module["agent"]
        assert type(learned) is OwnModule
        assert weights_hash(session.weights()) != weights_hash(reference.weights())
        session.train(32, lambda _: None)
        assert session.sampling_masks().violations == 0


def test_a_brought_environment_runs_as_it_is_with_each_agents_own_module() -> None:
    task = maze_task(multi_agent_env=Pair, rllib_module=OwnModule)
    with opened(task) as session:
        assert all(type(env.unwrapped) is Pair for env in session.algorithm.env_runner.env.envs)
        assert type(session.algorithm.get_module("walker")) is OwnModule
        session.train(32, lambda _: None)
        masks = session.sampling_masks()
        assert masks.decisions >= 64 and masks == MaskCounts(decisions=masks.decisions)  # both agents'


def test_only_the_learning_agents_reward_is_scored() -> None:
    with opened(maze_task(multi_agent_env=Pair)) as session:
        played = evaluate(session.eval_runner(3), 6, deterministic=False)
    assert (played.returns <= played.lengths).all()
    assert played.masks.decisions == 2 * played.lengths.sum()


def test_the_learning_agent_is_the_only_one_with_a_choice() -> None:
    assert port(multi_agent_env=Pair).learning_agent == "walker"
    assert port().learning_agent == "agent"
    assert port(learning_agent="me").learning_agent == "me"
    assert port(multi_agent_env=lambda: Pair(3), learning_agent="helper").learning_agent == "helper"


def test_a_frozen_agent_is_one_without_a_choice() -> None:
    assert port(multi_agent_env=Pair).config.policies_to_train == ["walker"]
    assert port(multi_agent_env=lambda: Pair(2), learning_agent="walker").config.policies_to_train == [
        "walker",
        "helper",
    ]


def test_other_agents_get_their_own_modules() -> None:
    with opened(
        maze_task(multi_agent_env=lambda: Pair(masked=False), other_modules={"helper": HelperModule})
    ) as session:
        assert type(session.algorithm.get_module("helper")) is HelperModule
        session.train(32, lambda _: None)


def test_an_algorithm_leaves_no_folder_in_the_users_home() -> None:
    with opened(maze_task()) as session:
        folder = Path(session.algorithm.logdir)
        assert folder.is_dir()
    assert not folder.exists()


BAD_ENVS: dict[str, tuple[dict[str, Any], str]] = {
    "two choosers": ({"multi_agent_env": lambda: Pair(3)}, "Set learning_agent to one of walker, helper"),
    "unknown agent": (
        {"multi_agent_env": Pair, "learning_agent": "nobody"},
        'learning_agent "nobody" is not among the agents walker, helper',
    ),
    "no MultiAgentEnv": (
        {"multi_agent_env": Maze},
        "multi_agent_env made a Maze; return a ray.rllib.env.MultiAgentEnv",
    ),
    "one for all": (
        {"multi_agent_env": functools.cache(Pair)},
        "multi_agent_env returns the same Pair at every call: make a new one each time",
    ),
    "no agents": ({"multi_agent_env": lambda: Pair(declared=False)}, "Pair has no possible_agents; set"),
    "no mask": (
        {"multi_agent_env": lambda: Pair(masked=False)},
        'the observation space of agent "helper" has no entry "action_mask"; add the mask there',
    ),
}


@pytest.mark.parametrize(("fields", "says"), BAD_ENVS.values(), ids=BAD_ENVS)
def test_a_multi_agent_environment_that_cannot_be_used_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(**fields)


def test_an_agent_without_spaces_is_one_sentence() -> None:
    def make() -> Pair:
        env = Pair()
        del env.action_spaces["helper"]
        return env

    assert 'Pair has no spaces for agent "helper"; set self.observation_spaces["helper"]' in refusal(
        multi_agent_env=make
    )


@pytest.mark.slow
def test_env_runners_of_their_own_run_a_task_file_and_what_it_imports(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "far_port.py").write_text(
        "from parity.testing.toy_envs import maze_task, Maze\n"
        "class Mine(Maze):\n    '''Known to this file alone.'''\n"
        "task = maze_task(env=Mine, rllib_config=lambda c: c.env_runners(num_env_runners=1, num_envs_per_env_runner=2))\n"
    )
    task = load(resolve(str(tmp_path / "far_port.py")))
    with opened(task) as session:
        reached: list[int] = []
        session.train(32, lambda iteration: reached.append(iteration.steps))
        assert session.sampling_masks() == MaskCounts(decisions=reached[-1])
        assert session.devices() == {"learner": "cpu", "env_runner": "cpu"}
