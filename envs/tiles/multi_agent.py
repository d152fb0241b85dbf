"""The multi-agent form of the tiles problem, for RLlib: one agent picks the tile, another the resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from parity_envs.tiles.env import Observation, TilesEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv

TILE_SELECTOR = "tile_selector"
RES_SELECTOR = "res_selector"


class TilesMultiAgentEnv(MultiAgentEnv):
    """``TilesEnv`` with two agents that act at the same time and share the reward.

    ``tile_selector`` sees and does what the agent of ``TilesEnv`` sees and does; its ``prev_agent_action`` is the last
    action of ``res_selector``. ``res_selector`` picks the resolution of the tile that is revealed in the same step; it
    sees the same image, softmax and flag, the last action of ``tile_selector`` (0 at the start) and an ``action_mask`` of
    its own, int8 ``[res_actions]``, all ones. With one resolution it changes nothing: for the same seed and tiles,
    ``tile_selector`` gets the observations, rewards and ends of ``TilesEnv``.

    Ends are given for ``"__all__"`` only. RLlib stores a truncation of every agent by name as a termination, without
    bootstrap (ray/rllib/env/multi_agent_episode.py:408-416, seen in 2.47.1 and 2.60.0).

    Args:
        res_actions: number of resolutions, 1 to 3.
        **kwargs: as for ``TilesEnv``.
    """

    def __init__(self, res_actions: int = 1, **kwargs: Any) -> None:
        super().__init__()
        self._tiles = TilesEnv(res_actions=res_actions, **kwargs)
        self.possible_agents = [TILE_SELECTOR, RES_SELECTOR]
        self.agents = list(self.possible_agents)
        seen = self._tiles.observation_space
        assert isinstance(seen, spaces.Dict)
        own = {
            "prev_agent_action": spaces.Discrete(int(self._tiles.action_space.n)),
            "action_mask": spaces.Box(0, 1, (res_actions,), np.int8),
        }
        self.observation_spaces = {TILE_SELECTOR: seen, RES_SELECTOR: spaces.Dict(dict(seen.spaces) | own)}
        self.action_spaces = {TILE_SELECTOR: self._tiles.action_space, RES_SELECTOR: spaces.Discrete(res_actions)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, Any]]:
        observation, _ = self._tiles.reset(seed=seed, options=options)
        return self._observations(observation, last_tile=0), {agent: {} for agent in self.possible_agents}

    def step(
        self, action_dict: dict[str, Any]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """One step of both agents; ``action_dict`` has an action of each.

        Raises:
            KeyError: an agent has no action.
            ValueError, gymnasium.error.ResetNeeded: as in ``TilesEnv``.
        """
        tile = int(action_dict[TILE_SELECTOR])
        observation, reward, terminated, truncated, _ = self._tiles.step_with_resolution(
            tile, action_dict[RES_SELECTOR]
        )
        return (
            self._observations(observation, tile),
            {agent: reward for agent in self.possible_agents},
            {"__all__": terminated},
            {"__all__": truncated},
            {agent: {} for agent in self.possible_agents},
        )

    def _observations(self, observation: Observation, last_tile: int) -> dict[str, Observation]:
        other = {
            "image": observation["image"].copy(),
            "softmax": observation["softmax"].copy(),
            "truncated": observation["truncated"],
            "prev_agent_action": np.int64(last_tile),
            "action_mask": np.ones(self._tiles.res_actions, np.int8),
        }
        return {TILE_SELECTOR: observation, RES_SELECTOR: other}
