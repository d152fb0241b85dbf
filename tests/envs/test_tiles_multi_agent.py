"""The multi-agent form of tiles against the single-agent form, and against RLlib's bookkeeping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib")

from parity_envs.tiles.env import TilesEnv, scripted_resolution
from parity_envs.tiles.multi_agent import TilesMultiAgentEnv
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from tiles_play import assert_same


@pytest.mark.parametrize("arguments", [{}, {"time_limit": (2, 4)}, {"n_classes": 100, "horizon": 8}], ids=str)
@pytest.mark.parametrize("res_actions", [1, 3])
def test_a_second_agent_without_a_choice_changes_nothing(arguments: dict[str, Any], res_actions: int) -> None:
    """One action, or three and a fixed policy: the same seed and tiles (illegal ones too) give bitwise the same."""
    single = TilesEnv(res_actions=res_actions, **arguments)
    multi = TilesMultiAgentEnv(res_actions=res_actions, **arguments)
    generator = np.random.default_rng(0)
    for seed in range(30):
        expected, _ = single.reset(seed=seed)
        observations, _ = multi.reset(seed=seed)
        assert_same(observations["tile_selector"], expected)
        over = False
        while not over:
            tile = int(generator.integers(16))
            revealed = 16 - int(expected["action_mask"].sum())
            actions = {"tile_selector": tile, "res_selector": scripted_resolution(revealed, res_actions)}
            expected, reward, terminated, truncated, _ = single.step(tile)
            observations, rewards, terminateds, truncateds, _ = multi.step(actions)
            assert_same(observations["tile_selector"], expected)
            assert rewards == {"tile_selector": reward, "res_selector": reward}
            assert (terminateds["__all__"], truncateds["__all__"]) == (terminated, truncated)
            over = terminated or truncated


def test_both_agents_observe_their_declared_spaces() -> None:
    env = TilesMultiAgentEnv(res_actions=3)
    assert env.possible_agents == env.agents == ["tile_selector", "res_selector"]
    assert env.get_observation_space("tile_selector") == TilesEnv(res_actions=3).observation_space
    observations, _ = env.reset(seed=0)
    for tile, resolution in [(3, 2), (7, 0), (0, 1), (12, 2)]:
        observations, *_ = env.step({"tile_selector": tile, "res_selector": resolution})
        for agent, observation in observations.items():
            assert env.get_observation_space(agent).contains(observation)
        assert observations["tile_selector"]["prev_agent_action"] == resolution
        assert observations["res_selector"]["prev_agent_action"] == tile
        assert observations["res_selector"]["action_mask"].tolist() == [1, 1, 1]


def test_the_agents_share_no_memory() -> None:
    env = TilesMultiAgentEnv()
    seen = [env.reset(seed=0)[0]]
    seen.extend(env.step({"tile_selector": tile, "res_selector": 0})[0] for tile in (2, 8))
    arrays = [array for observations in seen for observation in observations.values() for array in observation.values()]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[:i])


@pytest.mark.parametrize("limit", [None, 2])
def test_ends_are_given_for_all_only_and_rllib_stores_them_as_given(limit: int | None) -> None:
    env = TilesMultiAgentEnv(time_limit=limit)
    observations, infos = env.reset(seed=0)
    episode = MultiAgentEpisode(
        observation_space=env.observation_spaces,
        action_space=env.action_spaces,
        agent_to_module_mapping_fn=lambda agent, _: agent,
    )
    episode.add_env_reset(observations=observations, infos=infos)
    while not episode.is_done:
        actions = {"tile_selector": episode.env_t, "res_selector": 0}
        observations, rewards, terminateds, truncateds, infos = env.step(actions)
        assert terminateds.keys() == truncateds.keys() == {"__all__"}
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminateds, truncateds=truncateds)
    assert episode.env_t == (limit or 4)
    for stored in [episode, *episode.agent_episodes.values()]:
        assert (stored.is_terminated, stored.is_truncated) == (limit is None, limit is not None)
