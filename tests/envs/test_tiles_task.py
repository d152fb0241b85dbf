"""The tiles tasks: their networks, and where their reference scores come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from gymnasium import spaces
from parity_envs.tiles import task as tasks
from parity_envs.tiles.network import FullTilesNetwork

from parity import Task
from parity.task.masks import MaskedEnv

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "tiles.json"

ALL: list[Task] = [value for value in vars(tasks).values() if isinstance(value, Task)]


def network_of(task: Task) -> Any:
    env = MaskedEnv(task.env(), task.mask)
    env.reset(seed=0)
    return task.network(env.observation_space, env.action_space)


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.id)
def test_the_networks_initial_policy_is_nearly_uniform(task: Task) -> None:
    """Logits come from weights of gain 0.01: on real observations they differ by less than 0.2."""
    torch.manual_seed(0)
    network = network_of(task)
    env = task.env()
    rows = [env.reset(seed=seed)[0] for seed in range(8)]
    rows += [env.step(tile)[0] for tile in (0, 6)]
    obs = {key: torch.as_tensor(np.stack([row[key] for row in rows])) for key in rows[0] if key != "action_mask"}
    with torch.no_grad():
        logits, values = network(obs)
    assert logits.shape == (10, 16)
    assert values.shape == (10,)
    assert 0 < (logits.max() - logits.min()) < 0.2
    assert values.std() > 0


def test_layers_are_orthogonal_with_sb3s_gains() -> None:
    network = network_of(tasks.tiles)
    gains = {"logits_head": 0.01, "value_head": 1.0}
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            flat = layer.weight.detach().flatten(1)
            small = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
            gain = gains.get(name, 2**0.5)
            torch.testing.assert_close(small, gain**2 * torch.eye(len(small)), atol=1e-5, rtol=1e-5)
            assert not layer.bias.any()


def test_a_truncation_flag_does_not_shift_the_bootstrapped_value() -> None:
    network = network_of(tasks.tiles_time_limit)
    env = tasks.tiles_time_limit.env()
    row = env.reset(seed=0)[0]
    obs = {key: torch.as_tensor(row[key])[None] for key in row if key != "action_mask"}
    values = [network(obs | {"truncated": torch.tensor([flag])})[1] for flag in (0, 1)]
    assert torch.equal(*values)


def test_the_full_network_has_2048_image_features() -> None:
    network = FullTilesNetwork(tasks.tiles_100.env().observation_space, spaces.Discrete(16))
    assert network.cnn(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)
    assert network.mlp[0].in_features == 100 + 1


def test_reference_scores_are_the_computed_ones() -> None:
    problems = json.loads(REFERENCE.read_text())["problems"]
    best_policy = {"tiles-two-learners": "greedy_at_resolution_1"}
    for task in ALL:
        found = problems["tiles-resolution" if task.id == "tiles-two-learners" else task.id]
        assert task.reference is not None
        assert task.reference["uniform_legal"] == round(found["uniform_legal"]["mean"], 3)
        assert task.reference["best"] == round(found[best_policy.get(task.id, "greedy")]["mean"], 3)


def test_the_multi_agent_form_is_of_the_same_problem() -> None:
    pytest.importorskip("ray.rllib")
    for task in ALL:
        assert task.multi_agent_env is not None and task.learning_agent is not None
        env, multi = task.env(), task.multi_agent_env()
        assert multi.get_observation_space(task.learning_agent) == env.observation_space
        assert multi.get_action_space(task.learning_agent) == env.action_space
