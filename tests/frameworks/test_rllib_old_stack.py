"""RLlib's old API stack as a framework: reference and brought ports train, and what cannot be run is one sentence."""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import sys
from typing import Any

import pytest
import torch
from old_stack_ports import OwnModel
from ports import Pair
from ray.rllib.algorithms.ppo import PPOConfig

from parity import PPOParams, Task, frameworks
from parity.errors import NotSupported
from parity.frameworks.evaluation import evaluate
from parity.frameworks.network import sample_observations
from parity.frameworks.rllib.mapping import is_trained
from parity.frameworks.rllib_old_stack.config import build_port
from parity.frameworks.rllib_old_stack.model import restored
from parity.task import registry
from parity.testing import refusal
from parity.testing.toy_envs import SMALL, maze_task

pytestmark = pytest.mark.usefixtures("ray_started")
NAME = "rllib-old-stack"


def trained(task: Task) -> tuple[Any, Any]:
    """A session after three iterations of 64 steps, closed, and its evaluation; every trained policy has moved."""
    task = dataclasses.replace(task, ppo=dataclasses.replace(task.ppo, n_envs=4, n_steps=16, batch_size=32, n_epochs=2))
    session = frameworks.get(NAME).open(task, 0, device="cpu", threads=1)
    before = {name: policy.get_weights() for name, policy in session._policies().items()}
    before = {name: {key: value.copy() for key, value in weights.items()} for name, weights in before.items()}
    session.train(192, lambda _: None)
    for name, policy in session._policies().items():
        moved = any((value != before[name][key]).any() for key, value in policy.get_weights().items())
        assert moved == is_trained(session.port.config, name), name
    played = evaluate(session.eval_runner(2), 4, deterministic=False)
    session.close()
    return session, played


@pytest.mark.parametrize("task", ["tiles", "tictactoe-selfplay", "taxi"])
def test_the_reference_port_trains_and_plays_by_the_mask(task: str) -> None:
    session, played = trained(registry.load(registry.resolve(task)))
    masks = session.sampling_masks()
    agents = 2 if task == "tiles" else 1  # that act in one step
    assert masks.decisions == 192 * agents and not masks.violations and not played.masks.violations


def test_a_brought_model_sees_what_rllibs_preprocessors_make_and_other_agents_play_paritys() -> None:
    task = maze_task(multi_agent_env=lambda: Pair(options=3), learning_agent="walker", rllib_old_model=OwnModel)
    session, played = trained(task)
    assert isinstance(session._policies()["walker"].model, OwnModel)
    assert set(session._policies()) == {"walker", "helper"} and not played.masks.violations
    assert session._worker().get_policies_to_train() == ["helper", "walker"], "an order that hashes do not decide"


@pytest.mark.slow
def test_env_runners_in_other_processes_train_and_count_their_masks() -> None:
    task = maze_task(rllib_old_config=lambda config: config.env_runners(num_env_runners=1))
    session = frameworks.get(NAME).open(task, 0, device="cpu", threads=1)
    before = {name: weight.clone() for name, weight in session.weights().items()}
    session.train(2 * SMALL.rollout_steps, lambda _: None)
    masks, moved = session.sampling_masks(), session.weights()
    session.close()
    assert masks.decisions == 2 * SMALL.rollout_steps and not masks.violations
    assert any((moved[name] != before[name]).any() for name in before)


def test_a_function_has_the_last_word_on_the_configuration() -> None:
    task = maze_task(rllib_old_config=lambda config: config.training(lambda_=0.5, lr_schedule=[[0, 1e-3], [10, 1e-3]]))
    effective = frameworks.get(NAME).effective(task, "cpu", 1).hyperparameters
    assert effective["gae_lambda"] == 0.5 and effective["learning_rate"] == 1e-3


def whole() -> PPOConfig:
    return (
        PPOConfig()
        .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        .framework("torch")
        .training(train_batch_size=64, minibatch_size=32, num_epochs=2, model={"custom_model": OwnModel})
        .env_runners(num_env_runners=0)
    )


def test_a_finished_configuration_is_taken_whole() -> None:
    task = maze_task(rllib_old_config=whole().environment("unknown"))
    assert "rllib_old_config: env unknown" in refusal(NAME, task)
    task = maze_task(rllib_old_config=whole(), multi_agent_env=lambda: Pair(masked=True), learning_agent="walker")
    port = build_port(task, 0, "cpu")
    assert port.config.train_batch_size == 64 and port.learning_module == "default_policy"


def test_a_policy_of_the_users_that_says_nothing_gets_the_model_of_who_it_plays() -> None:
    def shared(config: PPOConfig) -> PPOConfig:
        return config.multi_agent(policies={"one"}, policy_mapping_fn=lambda agent, episode, worker, **_: "one")

    session, played = trained(maze_task(rllib_old_config=shared))
    assert list(session._policies()) == ["one"] and session.port.learning_module == "one"
    assert any(name.startswith("network.") for name in session.weights()) and not played.masks.violations


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rllib_old_config": lambda config: PPOConfig()}, "rllib_old_config is on RLlib's new API stack"),
        ({"rllib_old_config": lambda config: None}, "rllib_old_config returned NoneType"),
        ({"rllib_old_config": {"lambada": 1}}, "rllib_old_config has 'lambada'"),
        ({"rllib_old_config": whole(), "rllib_old_model": OwnModel}, "put rllib_old_model"),
        ({"rllib_old_config": lambda config: config.framework("tf2")}, "parity compares PyTorch"),
    ],
)
def test_what_cannot_be_run_is_one_sentence_with_the_fields_own_name(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(NAME, maze_task(**fields))


def test_a_ray_without_the_old_stack_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    given = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "ray.rllib.models.torch.torch_modelv2":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return given(name, *rest, **named)

    package = "parity.frameworks.rllib_old_stack"
    monkeypatch.delitem(sys.modules, package)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotSupported, match="has no old API stack any more"):
        importlib.import_module(package)


def test_preprocessed_observations_are_restored_to_what_the_environment_shows() -> None:
    from gymnasium import spaces
    from ray.rllib.models.catalog import ModelCatalog
    from ray.rllib.models.modelv2 import restore_original_dimensions

    space = spaces.Dict(
        {
            "number": spaces.Discrete(5, start=2),
            "numbers": spaces.MultiDiscrete([3, 4]),
            "image": spaces.Box(0, 255, (3, 8, 8), "uint8"),
            "vector": spaces.Box(-1, 1, (4,), "float32"),
        }
    )
    preprocessor = ModelCatalog.get_preprocessor_for_space(space)
    space.seed(0)
    rows = [space.sample() for _ in range(6)]
    flat = torch.as_tensor([preprocessor.transform(row).tolist() for row in rows])
    shown = restored(restore_original_dimensions(flat, preprocessor.observation_space, "torch"), space)
    for i, row in enumerate(rows):
        for key, value in row.items():
            assert torch.equal(shown[key][i], torch.as_tensor(value)), key
    assert shown["image"].dtype == torch.uint8 and sample_observations(space, 1)["image"].dtype == torch.uint8


def test_the_first_action_of_a_rollout_was_chosen_before_the_update() -> None:
    """RLlib's worker steps environments once more before it hands a rollout over: SB3 and the new stack do not."""
    task = maze_task(ppo=PPOParams(n_envs=2, n_steps=8, batch_size=16, n_epochs=1))
    session = frameworks.get(NAME).open(task, 0, device="cpu", threads=1)
    session.train(16, lambda _: None)
    audits = session._worker()._parity_audits
    assert sum(audit.counts.decisions for audit in audits) == 2 and session.sampling_masks().decisions == 16
    session.close()
