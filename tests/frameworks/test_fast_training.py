"""A few iterations of ``Algorithm``'s parts on the fast path and without it end with the same parameters, to the last bit."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import tree
from exact_sides import one_thread
from parity_envs.tiles.task import tiles
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from parity import frameworks
from parity.frameworks.rllib.arrays import parameters
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.fast import FastPPOLearner, accelerated
from parity.frameworks.rllib.framework import RllibSession
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.system.subprocesses import run_in_subprocess
from parity.task.registry import load, resolve

ITERATIONS = 3


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(FastPPOLearner, "to_the_last_bit", True)  # else those differ
    with one_thread():
        yield


def trained(
    config: Any, between: Any = lambda episodes: episodes, state: Any = None
) -> tuple[dict[str, Any], list[Any], Any, Any]:
    """Parameters by module after some iterations, as PPO's ``training_step`` makes them; results; learner, env runner."""
    runner = make_env_runner(config)
    learner = config.build_learner(env=None, spaces=runner.get_spaces())
    if state is not None:
        learner.set_state(copy.deepcopy(state))
    torch.manual_seed(0)
    np.random.seed(0)
    results = []
    for iteration in range(ITERATIONS):
        weights = learner.get_state(components=COMPONENT_RL_MODULE)
        runner.set_state({COMPONENT_RL_MODULE: weights[COMPONENT_RL_MODULE]})
        result = learner.update(
            episodes=between(runner.sample()),
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: iteration},
            num_epochs=config.num_epochs,
            minibatch_size=config.minibatch_size,
            shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
        )
        results.append(MetricsLogger.peek_results(result))
        runner.get_metrics()
    found = {m: parameters(learner.module[m].unwrapped()) for m in learner.module.keys()}  # noqa: SIM118
    return found, results, learner, runner


def logged(results: Any) -> dict[str, Any]:
    """Everything that an update logged, by path, but times and what is counted per second."""
    leaves = {"/".join(map(str, path)): leaf for path, leaf in tree.flatten_with_path(results)}
    return {path: leaf for path, leaf in leaves.items() if not ("timer" in path or "throughput" in path)}


def compare(config: Any, between: Any = lambda episodes: episodes) -> tuple[Any, Any]:
    ours, our_results, learner, runner = trained(accelerated(config), between)
    theirs, their_results, *_ = trained(config, between)
    for module_id, values in theirs.items():
        for name, value in values.items():
            assert np.array_equal(ours[module_id][name], value), (module_id, name)
    found, expected = logged(our_results), logged(their_results)
    assert set(found) == set(expected)
    for path, value in expected.items():
        assert np.array_equal(found[path], value, equal_nan=True), path
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
        pytest.param("invalid-multibinary", True, marks=pytest.mark.slow),
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


class Doubled:
    """A learner's loss, doubled."""

    def compute_loss_for_module(self, **given: Any) -> torch.Tensor:
        loss: torch.Tensor = super().compute_loss_for_module(**given)  # type: ignore[misc]
        return 2 * loss


class DoubledFast(Doubled, FastPPOLearner):
    """As a user would write it."""


class DoubledSlow(Doubled, PPOTorchLearner):
    """The same on RLlib's learner."""


def test_a_loss_of_the_users_is_computed_at_every_minibatch_and_said() -> None:
    config = configuration(tiles, "rllib")
    ours, _, learner, _ = trained(accelerated(config).copy(copy_frozen=False).learners(learner_class=DoubledFast))
    theirs, *_ = trained(config.copy(copy_frozen=False).learners(learner_class=DoubledSlow))
    assert learner.left == ["DoubledFast overrides compute_loss_for_module"]
    for name, value in theirs["tile_selector"].items():
        assert np.array_equal(ours["tile_selector"][name], value), name


class Hotter(SharedNetworkModule):
    """Explores with flattened probabilities, by the method that RLlib's documentation has one override."""

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output = super()._forward_exploration(batch, **kwargs)
        return output | {"action_dist_inputs": output["action_dist_inputs"] / 2}


class HotterOutside(SharedNetworkModule):
    """The same by the method that RLlib calls."""

    def forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output = super().forward_exploration(batch, **kwargs)
        return output | {"action_dist_inputs": output["action_dist_inputs"] / 2}


class Noisy(SharedNetworkModule):
    """Trains on other logits than it explores with."""

    def forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output = super().forward_train(batch, **kwargs)
        return output | {"action_dist_inputs": output["action_dist_inputs"] * 1.5}


@pytest.mark.parametrize("module", [Hotter, HotterOutside, Noisy])
def test_what_a_module_overrides_is_called(module: type) -> None:
    config = configuration(tiles, "rllib")
    plain, *_ = trained(accelerated(config))
    spec = copy.deepcopy(config.rl_module_spec)
    spec.rl_module_specs["tile_selector"].module_class = module
    changed = config.copy(copy_frozen=False).rl_module(rl_module_spec=spec)
    learner, _ = compare(changed)
    ours = parameters(learner.module["tile_selector"].unwrapped())
    assert any(not np.array_equal(ours[name], value) for name, value in plain["tile_selector"].items())


@pytest.mark.parametrize("framework", ["rllib", "rllib-exact"])
def test_a_checkpoint_goes_on_from_one_path_to_the_other(framework: str) -> None:
    config = configuration(tiles, framework)
    _, _, fast, _ = trained(accelerated(config))
    _, _, slow, _ = trained(config)
    states = [copy.deepcopy(learner.get_state()) for learner in (fast, slow)]
    same = [
        tree.map_structure(np.array_equal, *(state[part] for state in states)) for part in ("optimizer", "rl_module")
    ]
    assert all(tree.flatten(same))
    ended = []
    for given, state in ((accelerated(config), states[1]), (config, states[0])):
        ended.append(trained(given, state=state)[0])
    for name, value in ended[1]["tile_selector"].items():
        assert np.array_equal(ended[0]["tile_selector"][name], value), name


def test_a_gradient_that_is_not_finite_is_treated_as_rllib_treats_it() -> None:
    config = configuration(tiles, "rllib")

    def spoils(episodes: list[Any]) -> list[Any]:
        for episode in episodes[:1]:
            for each in episode.agent_episodes.values():
                each.set_rewards(new_data=float("inf"), at_indices=0)
        return episodes

    compare(config, spoils)


def test_a_session_says_what_goes_rllibs_own_way() -> None:
    port = frameworks.get("rllib").port(tiles, 0, "cpu")
    port.config.num_envs_per_env_runner, port.config.rollout_fragment_length = 4, 32
    port.config.train_batch_size_per_learner, port.config.minibatch_size, port.config.num_epochs = 128, 64, 1
    port.config.training(learner_connector=lambda *_, **__: Halves())
    session = RllibSession(tiles, port, 1)
    session.train(1, lambda _: None)
    said = session.slow_paths()
    session.close()
    assert said == ["learning goes RLlib's own way: connector Halves in the LearnerConnectorPipeline"]


class Remembers(torch.nn.Module):
    """A network that standardises by running statistics."""

    def __init__(self, _: Any, action_space: Any) -> None:
        super().__init__()
        self.norm, self.head = torch.nn.BatchNorm1d(1), torch.nn.Linear(1, int(action_space.n) + 1)

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = self.head(self.norm(obs.float()[:, None]))
        return both[:, :-1], both[:, -1]


class Mixes(Remembers):
    """A network whose rows look at one another, without anything that says so."""

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shown = obs.float()[:, None]
        both = self.head(shown - shown.mean(dim=0))
        return both[:, :-1], both[:, -1]


class Drops(Mixes):
    """A network that draws random numbers."""

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = self.head(torch.nn.functional.dropout(obs.float()[:, None]))
        return both[:, :-1], both[:, -1]


def short_episodes(task: Any) -> Any:
    config = configuration(task, "rllib")
    config.num_epochs, config.minibatch_size = 1, 48
    return config


def test_rows_that_count_for_nothing_are_left_out_and_change_the_last_bits_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FastPPOLearner, "to_the_last_bit", False)
    rows: list[int] = []
    forward = SharedNetworkModule._forward_train

    def counting(self: Any, batch: Any, **how: Any) -> Any:
        rows.append(len(batch["obs"]["softmax"]))
        return forward(self, batch, **how)

    monkeypatch.setattr(SharedNetworkModule, "_forward_train", counting)
    ours, our_results, learner, _ = trained(accelerated(short_episodes(tiles)))
    assert learner._row_wise["tile_selector"].close and min(rows) < 44
    theirs, their_results, *_ = trained(short_episodes(tiles))
    for name, value in theirs["tile_selector"].items():
        assert np.allclose(ours["tile_selector"][name], value, rtol=1e-3, atol=1e-4), name
    found, expected = logged(our_results), logged(their_results)
    assert set(found) == set(expected)
    for path, value in expected.items():
        assert np.allclose(found[path], value, rtol=0.02, atol=1e-3, equal_nan=True), path


@pytest.mark.parametrize("network", [Remembers, Mixes, Drops])
def test_a_module_whose_rows_depend_on_one_another_gets_all_of_them(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FastPPOLearner, "to_the_last_bit", False)
    task = dataclasses.replace(load(resolve("taxi")), network=network)
    learner, _ = compare(short_episodes(task))
    assert not any(found.close or found.equal for found in learner._row_wise.values())


def without_compiler_there(task_name: str) -> bool:
    import sys

    task = load(resolve(task_name))
    session = frameworks.get("rllib").open(task, 0, "cpu", 1)
    session.train(1, lambda _: None)
    deterministic = torch.are_deterministic_algorithms_enabled()
    session.close()
    return deterministic and "torch._dynamo" not in sys.modules


def test_a_trial_does_not_import_pytorchs_compiler() -> None:
    assert run_in_subprocess(without_compiler_there, "taxi", about="a test")
