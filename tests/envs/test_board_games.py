"""The board games: where their reference scores come from, and what the two forms of a game have in common."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from parity_envs.pettingzoo_classic import games
from parity_envs.pettingzoo_classic import task as tasks

from parity import Task
from parity.errors import CannotStart
from parity.task.masks import MaskedEnv, uniform_legal_action

ROOT = Path(__file__).parents[2]
ALL: list[Task] = [value for value in vars(tasks).values() if isinstance(value, Task)]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "benchmarks" / "board_games_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored() -> Any:
    return json.loads((ROOT / "results" / "reference" / "board_games.json").read_text())["problems"]


def test_the_tasks_scores_are_the_computed_ones(stored: Any) -> None:
    for task in ALL:
        found = stored[task.id.removesuffix("-selfplay")]["moves_first"]
        assert task.reference is not None
        assert task.reference["uniform_legal"] == round(found["uniform_legal"]["mean"], 3)
        assert task.reference["best"] == round(found["best"]["mean"], 3)


def test_the_exact_scores_of_tictactoe_are_computed_again(script: Any, stored: Any) -> None:
    """737/1260 won and 121/420 lost by the first of two uniform players; no best response ever loses as first."""
    for seat, name in enumerate(("moves_first", "moves_second")):
        for policy, best in (("uniform_legal", False), ("best", True)):
            assert script.exactly(script.tictactoe(seat, best)) == stored["tictactoe"][name][policy]
    assert [str(rate) for rate in script.tictactoe(0, best=False)] == ["737/1260", "8/63", "121/420"]
    assert script.tictactoe(0, best=True)[2] == 0


def test_the_player_who_looks_ahead_completes_and_prevents_four(script: Any) -> None:
    """Own stones at the bottom of columns 0 to 2 first, then the opponent's; column 3 is the move both times."""
    env, generator = games.against_uniform("connect_four_v3"), np.random.default_rng(0)
    for player in (0, 1):
        stones = np.zeros((6, 7, 2), np.int8)
        stones[5, :3, player] = 1
        observation = {"observation": stones, "action_mask": np.ones(7, np.int8)}
        assert script.one_move_ahead(env, observation, generator) == 3
    lines = [np.eye(6, 7), np.fliplr(np.eye(6, 7)), np.eye(1, 6).T @ np.ones((1, 7)), np.ones((6, 1)) @ np.eye(1, 7)]
    assert all(script.has_four(line.astype(bool)) for line in lines)
    threes = np.array([[1, 1, 1, 0, 1, 1, 1]] * 3 + [[0, 0, 0, 1, 0, 0, 0]] + [[1, 1, 1, 0, 1, 1, 1]] * 2)
    threes[2, 2] = threes[2, 4] = threes[4, 2] = threes[4, 4] = 0
    assert not script.has_four(threes.astype(bool))


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.id)
def test_the_networks_initial_policy_is_nearly_uniform(task: Task) -> None:
    torch.manual_seed(0)
    env = MaskedEnv(task.env(), task.mask)
    generator, rows = np.random.default_rng(0), []
    for seed in range(8):
        rows.append(env.reset(seed=seed)[0])
        rows.append(env.step(uniform_legal_action(env.action_masks(), env.action_space, generator))[0])
    assert task.network is not None
    network = task.network(env.observation_space, env.action_space)
    with torch.no_grad():
        logits, values = network({"observation": torch.as_tensor(np.stack([row["observation"] for row in rows]))})
    assert logits.shape == (16, int(env.action_space.n))
    assert 0 < (logits.max() - logits.min()) < 0.2 and values.std() > 0


def test_self_play_is_the_same_game_and_its_first_agent_the_same() -> None:
    pytest.importorskip("ray.rllib")
    from parity.frameworks.rllib.env import make_multi_agent_env

    for task in (tasks.tictactoe_selfplay, tasks.connect_four_selfplay):
        env, multi = task.env(), make_multi_agent_env(task)
        assert multi.possible_agents == env.possible_agents and len(multi.possible_agents) == 2
        assert multi.get_observation_space(task.learning_agent) == env.observation_space
        observations, _ = multi.reset(seed=0)
        assert list(observations) == [task.learning_agent] == [env.agent]


def test_without_pygame_the_game_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'pygame'")

    monkeypatch.setattr(games.importlib, "import_module", absent)
    with pytest.raises(CannotStart, match=r"connect_four_v3 needs PettingZoo and pygame .* pip install"):
        games.make_game("connect_four_v3")
