"""The fast env runners return what those that they derive from return: every column, every episode, every random number."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from exact_sides import one_thread
from parity_envs.tiles.task import tiles
from ray import cloudpickle
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.examples.rl_modules.classes.random_rlm import RandomRLModule
from test_exact_env_runner import TwoAgents, two_agents

from parity import frameworks
from parity.frameworks.rllib.algorithm import audit, mask_counts
from parity.frameworks.rllib.arrays import array
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.fast import FastEnvRunner, FastExactEnvRunner, accelerated
from parity.frameworks.rllib.fast.episodes import ROWS
from parity.task.masks import MASK_KEY
from parity.task.registry import load, resolve

SIDES = {"rllib": (MultiAgentEnvRunner, FastEnvRunner), "rllib-exact": (ExactEnvRunner, FastExactEnvRunner)}
STEPS = 120  # of four sub-environments: several episodes, and three rollouts that cut some


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def same(a: Any, b: Any, where: str = "") -> None:
    """Raises AssertionError at the first bit in which two nested columns differ."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for name, part in a.items():
            same(part, b[name], f"{where}/{name}")
    elif isinstance(a, list):
        assert str(a) == str(b), where
    else:
        a, b = array(a), array(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype) and np.array_equal(a, b), where


def same_episodes(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for name in ("is_terminated", "is_truncated", "env_t", "env_t_started", "_hanging_rewards_end"):
            assert getattr(a, name) == getattr(b, name), name
        assert list(a.agent_episodes) == list(b.agent_episodes)
        for agent, mine in a.agent_episodes.items():
            other = b.agent_episodes[agent]
            for name in ("t", "t_started", "is_terminated", "is_truncated", "module_id"):
                assert getattr(mine, name) == getattr(other, name), name
            timesteps = [(e.env_t_to_agent_t[agent].data, e.env_t_to_agent_t[agent].lookback) for e in (a, b)]
            assert timesteps[0] == timesteps[1]
            mine, other = mine.to_numpy(), other.to_numpy()
            for name in ("observations", "actions", "rewards", "infos"):
                assert getattr(mine, name).lookback == getattr(other, name).lookback
                same(getattr(mine, name).data, getattr(other, name).data, name)
            same(
                {k: buffer.data for k, buffer in mine.extra_model_outputs.items()},
                {k: buffer.data for k, buffer in other.extra_model_outputs.items()},
            )


def sampled(config: Any, runner_class: type, rollouts: list[dict[str, Any]]) -> tuple[Any, list[Any]]:
    """An env runner and, for each rollout, its episodes, the learner's batch of them and the state of torch's generator."""
    config = config.copy(copy_frozen=False)
    if runner_class in (FastEnvRunner, FastExactEnvRunner):
        config = accelerated(config)
    config.env_runner_cls = runner_class
    runner = make_env_runner(config)
    audit(runner, MASK_KEY)
    learner = config.build_learner(env=None, spaces=runner.get_spaces())
    torch.manual_seed(0)
    np.random.seed(0)
    results = []
    for arguments in rollouts:
        episodes = runner.sample(**arguments)
        sent = cloudpickle.loads(cloudpickle.dumps(episodes))  # as between processes
        batch = learner._learner_connector(
            rl_module=learner.module, batch={}, episodes=sent, shared_data={}, metrics=None
        )
        results.append((episodes, batch, torch.get_rng_state()))
    return runner, results


def compare(config: Any, framework: str, rollouts: list[dict[str, Any]] | None = None) -> Any:
    """Samples with both env runners of a framework and compares everything; returns the fast one."""
    slow, fast = SIDES[framework]
    rollouts = rollouts or [{"num_timesteps": STEPS}] * 3
    theirs, expected = sampled(config, slow, rollouts)
    ours, got = sampled(config, fast, rollouts)
    for (episodes, batch, state), (their_episodes, their_batch, their_state) in zip(got, expected, strict=True):
        same_episodes(episodes, their_episodes)
        same(batch, their_batch)
        assert torch.equal(state, their_state)
    of_steps = ("num_", "episode_len", "episode_return", "agent_", "module_episode_")
    counts = [
        {k: v for k, v in runner.get_metrics().items() if str(k).startswith(of_steps)} for runner in (ours, theirs)
    ]
    assert str(peeked(counts[0])) == str(peeked(counts[1]))
    assert mask_counts(ours) == mask_counts(theirs)
    ours.taken = [episodes[0].custom_data.get(ROWS) is not None for episodes, *_ in got]
    return ours


def peeked(metrics: Any) -> Any:
    if isinstance(metrics, dict):
        return {str(k): peeked(v) for k, v in sorted(metrics.items(), key=str) if "throughput" not in str(k)}
    return metrics.peek() if hasattr(metrics, "peek") else metrics


def configuration(task: Any, framework: str, n_envs: int = 4) -> Any:
    config = frameworks.get(framework).port(task, 0, "cpu").config
    config.num_envs_per_env_runner = n_envs
    config.metrics_num_episodes_for_smoothing = 20  # fewer than end in one rollout
    return config


@pytest.mark.parametrize("framework", SIDES)
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
def test_every_column_episode_and_random_number_is_the_same(framework: str, name: str, is_taken: bool) -> None:
    runner = compare(configuration(load(resolve(name)), framework), framework)
    assert runner.left == []
    # Where agents observe in turns, RLlib's own `add_env_step` puts the episodes together, without arrays for the learner.
    assert runner.taken == [is_taken] * 3


@pytest.mark.parametrize("framework", SIDES)
@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("truncates", [False, True])
def test_ends_of_every_kind_are_the_same(framework: str, turns: bool, truncates: bool) -> None:
    compare(two_agents(turns=turns, truncates=truncates), framework)
    if framework == "rllib-exact":
        compare(two_agents(turns=turns, truncates=truncates, flags="every"), framework)


class OneLeaves(TwoAgents):
    """The right agent ends alone after two steps, the left one comes late."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        seen, infos = super().reset(seed=seed)
        return {"right": seen["right"]}, infos

    def step(self, action_dict: Any) -> Any:
        action_dict = dict.fromkeys(self.agents, 0) | action_dict
        seen, rewards, terminated, truncated, infos = super().step(action_dict)
        if self.t >= 2:
            terminated = terminated | ({"right": True} if self.t == 2 else {})
        if self.t > 2:
            seen = {"left": seen["left"]}
        return seen, {agent: rewards[agent] for agent in seen}, terminated, truncated, infos


@pytest.mark.parametrize("framework", SIDES)
def test_agents_that_come_late_and_leave_alone_are_the_same(framework: str) -> None:
    config = two_agents()
    config.environment(lambda _: OneLeaves())
    runner = compare(config, framework)
    assert runner.left == [] and not any(runner.taken)


class Counting(RLlibCallback):
    steps = 0

    def on_episode_step(self, **_: Any) -> None:
        Counting.steps += 1


@pytest.mark.parametrize("framework", SIDES)
def test_a_callback_at_every_step_is_called_and_said(framework: str) -> None:
    config = configuration(tiles, framework)
    config.callbacks(Counting)
    Counting.steps = 0
    runner = compare(config, framework)
    assert Counting.steps >= 2 * 3 * STEPS
    assert runner.left == ["on_episode_step is listened to by Counting"]


class Dimmed(ConnectorV2):
    """Halves the picture, in the episode."""

    def __call__(self, *, batch: Any, episodes: Any, **_: Any) -> Any:
        for episode in self.single_agent_episode_iterator(episodes):
            last = episode.get_observations(-1)
            if "image" in last:
                episode.set_observations(new_data=last | {"image": last["image"] // 2}, at_indices=-1)
        return batch


def test_a_connector_is_run_and_said() -> None:
    config = configuration(tiles, "rllib")
    config.env_runners(env_to_module_connector=lambda *_, **__: Dimmed())
    assert compare(config, "rllib").left == ["connector Dimmed in the EnvToModulePipeline"]


class Renaming(FastEnvRunner):
    def _new_episode(self, env_index: int, episodes: Any = None) -> None:
        super()._new_episode(env_index, episodes)
        self.made = getattr(self, "made", 0) + 1


def test_an_overridden_method_is_called_and_said() -> None:
    config = configuration(tiles, "rllib")
    config.env_runner_cls = Renaming
    runner = make_env_runner(config)
    runner.sample(num_timesteps=STEPS)
    assert runner.made > 20 and runner.left == ["Renaming overrides _new_episode"]


def test_episodes_that_a_sample_end_callback_may_change_go_to_the_learner_as_they_are() -> None:
    def pay(samples: Any, **_: Any) -> None:
        for episode in samples:
            for each in episode.agent_episodes.values():
                each.set_rewards(new_data=7.0, at_indices=0)

    config = configuration(tiles, "rllib")
    config.callbacks(on_sample_end=pay)
    runner = compare(config, "rllib")
    assert runner.left == [] and runner.taken == [False] * 3


@pytest.mark.parametrize("framework", SIDES)
def test_rollouts_of_both_kinds_go_on_from_one_another(framework: str) -> None:
    rollouts = [
        {"num_timesteps": 40},
        {"num_timesteps": 24, "explore": False},
        {"num_timesteps": 40},
        {"num_episodes": 3},
    ]
    compare(configuration(tiles, framework), framework, [*rollouts, {"num_timesteps": 40}])


def test_an_environment_that_uses_its_arrays_again_is_copied() -> None:
    # `TwoAgents` returns one array at every step.
    _, ((episodes, *_),) = sampled(two_agents(), FastExactEnvRunner, [{"num_timesteps": 20}])
    seen = episodes[0].agent_episodes["left"].get_observations()
    assert [each["observations"][0] for each in seen] == list(range(len(seen)))


def test_python_searches_for_cycles_less_often_within_a_rollout_and_as_before_after_it() -> None:
    thresholds: list[int] = []

    class Looks(TwoAgents):
        def step(self, actions: Any) -> Any:
            thresholds.append(gc.get_threshold()[0])
            return super().step(actions)

    config = two_agents()
    config.environment(lambda _: Looks())
    config.env_runner_cls = FastEnvRunner
    runner = make_env_runner(config)
    before = gc.get_threshold()
    thresholds.clear()
    runner.sample(num_timesteps=20)
    assert set(thresholds) == {20_000} and gc.get_threshold() == before


def test_an_entry_of_another_shape_stops_the_rollout() -> None:
    class Ragged(TwoAgents):
        def _observe(self, everyone: bool = False) -> Any:
            seen = super()._observe(everyone)
            wide = np.zeros(2 + self.t % 2, np.float32)
            return {agent: part | {"observations": wide} for agent, part in seen.items()}

    config = two_agents()
    config.environment(lambda _: Ragged())
    config.env_runner_cls = FastEnvRunner
    with pytest.raises(ValueError, match=r"an entry of shape \[3\], those before it \[2\]"):
        make_env_runner(config).sample(num_timesteps=8)


def test_spaces_without_a_fast_draw_are_left_to_rllib() -> None:
    class Continuous(TwoAgents):
        def __init__(self) -> None:
            super().__init__()
            self.action_spaces = dict.fromkeys(self.agents, gymnasium.spaces.Box(-1, 1, (1,), np.float32))

    config = two_agents().environment(lambda _: Continuous())
    config.env_runner_cls = FastEnvRunner
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=RandomRLModule))
    assert make_env_runner(config).left == ["agent left has a Box space", "agent right has a Box space"]
