"""A few iterations of ``Algorithm``'s parts on the fast path and without it end with the same parameters, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from exact_sides import one_thread
from parity_envs.tiles.task import tiles
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from parity import frameworks
from parity.frameworks.rllib.arrays import parameters
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.fast import accelerated
from parity.task.registry import load, resolve

ITERATIONS = 3


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def trained(config: Any, between: Any = lambda episodes: episodes) -> tuple[dict[str, Any], Any, Any]:
    """Parameters by module after some iterations, as PPO's ``training_step`` makes them; learner and env runner."""
    runner = make_env_runner(config)
    learner = config.build_learner(env=None, spaces=runner.get_spaces())
    torch.manual_seed(0)
    np.random.seed(0)
    for iteration in range(ITERATIONS):
        state = learner.get_state(components=COMPONENT_RL_MODULE)
        runner.set_state({COMPONENT_RL_MODULE: state[COMPONENT_RL_MODULE]})
        learner.update(
            episodes=between(runner.sample()),
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: iteration},
            num_epochs=config.num_epochs,
            minibatch_size=config.minibatch_size,
            shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
        )
        runner.get_metrics()
    return {m: parameters(learner.module[m].unwrapped()) for m in learner.module.keys()}, learner, runner  # noqa: SIM118


def compare(config: Any, between: Any = lambda episodes: episodes) -> tuple[Any, Any]:
    ours, learner, runner = trained(accelerated(config), between)
    theirs, *_ = trained(config, between)
    for module_id, values in theirs.items():
        for name, value in values.items():
            assert np.array_equal(ours[module_id][name], value), (module_id, name)
    return learner, runner


def configuration(task: Any, framework: str) -> Any:
    config = frameworks.get(framework).port(task, 0, "cpu").config
    config.num_envs_per_env_runner, config.rollout_fragment_length = 4, 32
    config.train_batch_size_per_learner, config.minibatch_size, config.num_epochs = 128, 32, 2
    return config


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("tiles", True),
        ("taxi", True),
        ("invalid-multidiscrete", True),
        ("tiles-two-learners", True),
        ("tiles-time-limit", True),
        ("tictactoe-selfplay", False),
    ],
)
def test_parameters_are_the_same_to_the_last_bit(framework: str, name: str, is_taken: bool) -> None:
    learner, _ = compare(configuration(load(resolve(name)), framework))
    assert learner.left == ([] if is_taken else ["these episodes came without arrays of all of them"])


def pays(episodes: list[Any]) -> list[Any]:
    for episode in episodes:
        for each in episode.agent_episodes.values():
            each.set_rewards(new_data=5.0, at_indices=0)
    return episodes


def exchanges(episodes: list[Any]) -> list[Any]:
    for episode in episodes:
        for each in episode.agent_episodes.values():
            each.rewards.data = (
                each.rewards.data + np.array(1.0) if each.is_numpy else [r + 1.0 for r in each.rewards.data]
            )
    return episodes


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
@pytest.mark.parametrize("change", [pays, exchanges, lambda episodes: episodes[::-1], lambda episodes: episodes[1:]])
def test_whoever_changes_episodes_before_the_update_changes_the_update(framework: str, change: Any) -> None:
    compare(configuration(tiles, framework), change)


class Halves(ConnectorV2):
    """Halves the rewards of the train batch's episodes."""

    def __call__(self, *, batch: Any, episodes: Any, **_: Any) -> Any:
        for episode in self.single_agent_episode_iterator(episodes, agents_that_stepped_only=False):
            episode.set_rewards(new_data=[r / 2 for r in episode.get_rewards()])
        return batch


def test_a_learner_connector_of_the_users_is_run_and_said() -> None:
    config = configuration(tiles, "rllib")
    config.training(learner_connector=lambda *_, **__: Halves())
    learner, _ = compare(config)
    assert learner.left == ["connector Halves in the LearnerConnectorPipeline"]
