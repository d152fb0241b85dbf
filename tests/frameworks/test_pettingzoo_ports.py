"""PettingZoo's AEC and parallel environments as RLlib's: turns, ends, rewards and masks as its episodes need them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from ports import HelperModule, OwnModule, Pair, opened, port
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.examples.rl_modules.classes.random_rlm import RandomRLModule
from ray.tune.registry import register_env

from parity import Task
from parity.capture.rllib import capture_rllib
from parity.errors import CannotStart
from parity.frameworks.evaluation import evaluate
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.config import build_port
from parity.frameworks.rllib.env import SingleAgentAsMultiAgent, make_multi_agent_env
from parity.frameworks.rllib.eval_runner import RllibEvalRunner
from parity.frameworks.rllib.pettingzoo import ends, inner, wrap
from parity.ladder.run_rungs import run_rungs
from parity.selftest.ports import games
from parity.selftest.ports.games import FIRST, LISTENER, SECOND, SPEAKER, Doors, Pile, SortingAtOnce
from parity.task.masks import MaskedEnv, uniform_legal_action
from parity.task.pettingzoo import AgainstOpponents
from parity.testing.toy_envs import Maze, maze_task


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def episode_of(env: Any, seed: int) -> tuple[MultiAgentEpisode, list[Any]]:
    """One episode in RLlib's own bookkeeping, uniformly legal, and all that the environment returned."""
    generator = np.random.default_rng([seed, 1])
    episode = MultiAgentEpisode(
        observation_space=env.observation_spaces,
        action_space=env.action_spaces,
        agent_to_module_mapping_fn=lambda agent, _: agent,
    )
    observations, infos = env.reset(seed=seed)
    for agent, seen in observations.items():
        assert env.observation_spaces[agent].contains(seen), (agent, seen)
    episode.add_env_reset(observations=observations, infos=infos)
    results = []
    while not episode.is_done:
        actions = {
            agent: uniform_legal_action(seen["action_mask"].astype(bool), env.action_spaces[agent], generator)
            for agent, seen in observations.items()
            if not (results and (results[-1][2].get(agent) or results[-1][3].get(agent)))
        }
        result = env.step(actions)
        observations, rewards, terminateds, truncateds, infos = result
        for agent, seen in observations.items():
            assert env.observation_spaces[agent].contains(seen), (agent, seen)
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminateds, truncateds=truncateds)
        results.append(result)
    return episode, results


def test_one_agent_sees_something_at_a_time_and_both_at_the_end() -> None:
    _, results = episode_of(wrap(Pile()), seed=0)
    assert all(len(observations) == 1 for observations, *_ in results[:-1])
    observations, rewards, terminateds, truncateds, _ = results[-1]
    assert set(observations) == set(rewards) == {FIRST, SECOND}
    assert sorted(rewards.values()) == [-1.0, 1.0]
    assert terminateds["__all__"] and not truncateds["__all__"]


@pytest.mark.parametrize("in_info", [False, True])
def test_both_players_returns_are_the_games(in_info: bool) -> None:
    """The loser's -1 comes after its last move: it is in its episode all the same."""
    winners = set()
    for seed in range(8):
        episode, _ = episode_of(wrap(Pile(in_info)), seed)
        returns = {agent: one.get_return() for agent, one in episode.agent_episodes.items()}
        assert sorted(returns.values()) == [-1.0, 1.0]
        assert all(one.is_terminated and not one.is_truncated for one in episode.agent_episodes.values())
        winners.add(max(returns, key=returns.__getitem__))
    assert winners == {FIRST, SECOND}


def test_a_cut_game_is_truncated_for_both_and_no_flag_goes_by_name() -> None:
    cut = 0
    for seed in range(12):
        env = Doors()
        episode, results = episode_of(wrap(env), seed)
        flags = [one.is_truncated for one in episode.agent_episodes.values()]
        assert flags == [env.is_cut] * 2 and episode.is_truncated == env.is_cut
        assert episode.is_terminated != env.is_cut
        assert set(results[-1][3]) == {"__all__"}
        cut += env.is_cut
    assert 0 < cut < 12


def test_a_shared_reward_reaches_who_does_not_act() -> None:
    episode, results = episode_of(wrap(Doors()), seed=5)
    paid = sum(rewards[SPEAKER] for _, rewards, *_ in results)
    assert episode.agent_episodes[SPEAKER].get_return() == paid == episode.agent_episodes[LISTENER].get_return()


def test_agents_of_a_parallel_environment_leave_one_by_one() -> None:
    lengths = []
    for seed in range(12):
        inner = SortingAtOnce()
        episode, results = episode_of(wrap(inner), seed)
        sorter, clerk = episode.agent_episodes["sorter"], episode.agent_episodes["clerk"]
        assert len(clerk) == min(3, len(sorter))
        assert (sorter.is_terminated, sorter.is_truncated) == (not inner.env.is_cut, inner.env.is_cut)
        assert clerk.is_terminated == (len(sorter) >= 3 or not inner.env.is_cut)
        assert all("clerk" not in observations for observations, *_ in results[3:])
        lengths.append(len(sorter))
    assert max(lengths) > 3


def test_masks_in_info_come_beside_the_observation() -> None:
    env = wrap(Pile(in_info=True))
    observations, _ = env.reset(seed=1)
    assert observations[FIRST]["observations"].shape == (10,)
    assert observations[FIRST]["action_mask"].tolist() == [1, 1, 1]
    assert observations[FIRST]["action_mask"].dtype == np.int8
    sorter, _ = wrap(SortingAtOnce()).reset(seed=1)
    assert set(sorter["sorter"]) == {"picture", "label", "last", "action_mask"}


class Renamed(Pile):
    """Shows its mask as "legal"."""

    def __init__(self) -> None:
        super().__init__()
        parts = dict(self.observation_spaces[FIRST].spaces)
        parts["legal"] = parts.pop("action_mask")
        self.observation_spaces = dict.fromkeys(self.possible_agents, spaces.Dict(parts))

    def observe(self, agent: str) -> Any:
        seen = super().observe(agent)
        seen["legal"] = seen.pop("action_mask")
        return seen


def test_a_mask_under_another_name_becomes_action_mask() -> None:
    env = make_multi_agent_env(
        Task(id="renamed", env=Pile, network=games.FlatNet, mask="obs:legal", multi_agent_env=Renamed)
    )
    observations, _ = env.reset(seed=1)
    assert set(observations[FIRST]) == set(env.observation_spaces[FIRST].spaces) == {"pile", "action_mask"}


def test_a_mask_that_stops_coming_is_a_sentence() -> None:
    class Forgetful(Pile):
        def _tell(self) -> None:
            super()._tell()
            if self.stones < 5:
                self.infos = {agent: {} for agent in self.agents}

    with pytest.raises(CannotStart, match=r'agent \w+ shows no "action_mask" at this decision'):
        [episode_of(wrap(Forgetful(in_info=True)), seed) for seed in range(10)]


@pytest.mark.parametrize(
    ("left", "over", "terminateds", "truncateds"),
    [
        ({}, False, {"__all__": False}, {"__all__": False}),
        ({"a": "terminated"}, False, {"a": True, "__all__": False}, {"__all__": False}),
        ({"a": "truncated"}, False, {"__all__": False}, {"a": True, "__all__": False}),
        ({"a": "truncated", "b": "truncated"}, True, {"__all__": False}, {"__all__": True}),
        ({"a": "terminated", "b": "truncated"}, True, {"a": True, "__all__": False}, {"__all__": True}),
        ({"b": "terminated"}, True, {"b": True, "__all__": True}, {"__all__": False}),
    ],
)
def test_a_truncation_goes_by_name_only_while_others_play_on(
    left: Any, over: bool, terminateds: Any, truncateds: Any
) -> None:
    assert ends(left, over) == (terminateds, truncateds)


# --- whole ports ------------------------------------------------------------------------------------------------------


def two_evaluations() -> Task:
    return dataclasses.replace(games.self_play(), rllib_config=with_uniform_opponent)


@pytest.mark.parametrize(
    "make", [two_evaluations, games.self_play_second_seat, games.turn_based_pair, games.parallel_environment]
)
def test_a_port_of_each_form_shows_the_learning_agent_what_sb3_sees(make: Any) -> None:
    """Same seed, same opponents: what it observes, may do, is paid and how it ends is equal; so is all that follows."""
    judged = run_rungs(capture_rllib(Rllib(), make(), "cpu"))
    assert judged, {name: r.reason for name, r in judged.rungs.items() if r.status in ("fail", "invalid")}
    assert judged.rungs["contract"].status == "pass"


class Uniform(RandomRLModule):
    """Plays uniformly over legal actions, also where it is asked for its best; it has no parameters."""

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {Columns.ACTIONS: batch[Columns.OBS]["action_mask"].float().multinomial(1).squeeze(-1)}


def with_uniform_opponent(config: Any) -> Any:
    """As RLlib's users evaluate self-play: the other seat goes to a module that is not trained."""
    env = wrap(Pile())
    modules = config.rl_module_spec
    modules.add_modules({"uniform": RLModuleSpec(Uniform, env.observation_spaces[SECOND], env.action_spaces[SECOND])})
    return (
        config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=modules.rl_module_specs))
        .multi_agent(policies={FIRST, SECOND, "uniform"})
        .evaluation(
            evaluation_config=AlgorithmConfig.overrides(
                policy_mapping_fn=lambda agent, *_, **__: agent if agent == FIRST else "uniform"
            )
        )
    )


def against_uniform(config: Any) -> Any:
    register_env("pile-against-uniform", lambda _: SingleAgentAsMultiAgent(MaskedEnv(one_seat()), FIRST))
    return config.evaluation(evaluation_config=AlgorithmConfig.overrides(env="pile-against-uniform", explore=False))


def one_seat() -> AgainstOpponents:
    return AgainstOpponents(Pile(), FIRST)


@pytest.mark.parametrize("edit", [with_uniform_opponent, against_uniform])
def test_a_port_is_evaluated_as_its_evaluation_config_says(edit: Any) -> None:
    """Untrained against untrained is decided by the weights; against uniform moves, by chance: both win and lose."""
    task = dataclasses.replace(games.self_play(), rllib_config=edit)
    with opened(task) as session:
        eval_runner = session.eval_runner(8)
        first = evaluate(eval_runner, 60, deterministic=True)
        assert 0.1 < np.mean(first.returns > 0) < 0.9 and set(first.returns) == {-1.0, 1.0}
        assert first.masks.violations == 0
        again = evaluate(eval_runner, 60, deterministic=True)
        np.testing.assert_array_equal(first.returns, again.returns)
        session.train(256, lambda _: None)
        trained = evaluate(eval_runner, 60, deterministic=True)
        assert (trained.returns != first.returns).any(), "the trained weights are played"
        if edit is with_uniform_opponent:
            np.testing.assert_array_equal(trained.others[SECOND], -trained.returns)
        else:
            assert trained.others == {}
        eval_runner.close()


def elsewhere(config: Any) -> Any:
    register_env("one-agent", lambda _: SingleAgentAsMultiAgent(MaskedEnv(one_seat()), "someone"))
    return config.evaluation(evaluation_config=AlgorithmConfig.overrides(env="one-agent"))


def other_module(config: Any) -> Any:
    override = AlgorithmConfig.overrides(policy_mapping_fn=lambda agent, *_, **__: SECOND)
    return config.evaluation(evaluation_config=override)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [(elsewhere, "has no agent first"), (other_module, "lets module second play agent first")],
)
def test_an_evaluation_of_something_else_is_a_sentence(edit: Any, sentence: str) -> None:
    refused = build_port(dataclasses.replace(games.self_play(), rllib_config=edit), seed=0, device="cpu")
    with pytest.raises(CannotStart, match=sentence):
        RllibEvalRunner(refused, 2, dict)


# --- masks of a brought MultiAgentEnv ---------------------------------------------------------------------------------


class Legal(Pair):
    """The walker's mask is called "legal", or comes in info."""

    def __init__(self, in_info: bool = False) -> None:
        super().__init__()
        self.in_info = in_info
        parts = dict(self.observation_spaces["walker"].spaces)
        mask = parts.pop("action_mask")
        self.observation_spaces["walker"] = spaces.Dict(parts if in_info else parts | {"legal": mask})
        self.observation_spaces["helper"] = spaces.Dict({"tick": self.observation_spaces["helper"]["tick"]})

    def _both(self, walker: Any) -> dict[str, Any]:
        seen = super()._both(walker)
        self.mask = seen["walker"].pop("action_mask")
        del seen["helper"]["action_mask"]
        return seen if self.in_info else {**seen, "walker": seen["walker"] | {"legal": self.mask}}

    def reset(self, **kwargs: Any) -> Any:
        seen, _ = super().reset(**kwargs)
        return seen, {"walker": {"legal": self.mask}}

    def step(self, action_dict: Any) -> Any:
        return *super().step(action_dict)[:4], {"walker": {"legal": self.mask}}


@pytest.mark.parametrize("mask", ["obs:legal", "info:legal"])
def test_task_mask_says_where_a_multi_agent_environment_has_its_masks(mask: str) -> None:
    """Of agents that parity's own modules play; a helper whose module is brought sees what it always saw."""
    fields = {"env": lambda: Maze("obs"), "mask": mask, "learning_agent": "walker"}
    task = maze_task(**fields, multi_agent_env=lambda: Legal("info" in mask), other_modules={"helper": HelperModule})
    env = make_multi_agent_env(task)
    observations, _ = env.reset(seed=3)
    for _ in range(6):
        np.testing.assert_array_equal(observations["walker"]["action_mask"], inner(env).mask)
        assert set(observations["walker"]) == set(env.observation_spaces["walker"].spaces)
        assert set(observations["helper"]) == {"tick"}
        best = int(np.argmax(observations["walker"]["action_mask"]))
        observations, _, terminateds, _, _ = env.step({"walker": best, "helper": 0})
        if terminateds["__all__"]:
            break
    taken_as_it_is = maze_task(**fields, multi_agent_env=Legal, rllib_module=OwnModule)
    assert isinstance(make_multi_agent_env(taken_as_it_is), Legal)


THE_PAIR, THE_PILE = Pair(), Pile()


class Short(Pair):
    def __init__(self) -> None:
        super().__init__()
        parts = dict(self.observation_spaces["walker"].spaces)
        self.observation_spaces["walker"] = spaces.Dict(parts | {"action_mask": spaces.Box(0, 1, (3,), np.int8)})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"multi_agent_env": Short}, 'has a mask of 3 entries for agent "walker", whose action space'),
        ({"multi_agent_env": lambda: THE_PAIR}, "multi_agent_env returns the same Pair at every call"),
        ({"multi_agent_env": lambda: THE_PILE}, "multi_agent_env returns the same Pile at every call"),
        ({"multi_agent_env": Maze}, "return a ray.rllib.env.MultiAgentEnv or a PettingZoo environment"),
        ({"multi_agent_env": Pile, "mask": "method:legal"}, 'write "obs:KEY" or "info:KEY"'),
    ],
)
def test_what_nothing_can_run_on_is_a_sentence(fields: Any, sentence: str) -> None:
    with pytest.raises(CannotStart, match=sentence):
        port(learning_agent="walker", **fields)


def test_a_game_without_possible_agents_is_named() -> None:
    class Nameless(Pile):
        def __init__(self) -> None:
            super().__init__()
            self.possible_agents = []

    with pytest.raises(CannotStart, match="Nameless has no possible_agents"):
        port(multi_agent_env=Nameless)
