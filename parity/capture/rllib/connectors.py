"""Tries the port's own env-to-module connectors on the spaces of its environment: what each makes of an observation's mask."""

from __future__ import annotations

import copy
from typing import Any

from gymnasium import spaces
from ray.rllib.connectors.connector_pipeline_v2 import ConnectorPipelineV2
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from parity.capture.raised import note
from parity.frameworks.rllib.config import Port
from parity.results.capture import Connector, Context
from parity.task.masks import MASK_KEY


def connectors_of(context: Context, port: Port) -> list[Connector]:
    """The port's own pieces in their order, as far as they can be built from spaces alone."""
    try:
        return [_connector(piece, port.learning_agent) for piece in pieces(_own(port))]
    except Exception as error:
        # One that needs the environment itself. One that cannot work has stopped the env runner too.
        if port.config._env_to_module_connector is not None and "build" not in context.raised:
            note(context, "connectors were not looked at one by one", error)
        return []


def _own(port: Port) -> ConnectorPipelineV2:
    """The port's own pieces, without RLlib's."""
    config = port.config.copy(copy_frozen=False)
    config.add_default_connectors_to_env_to_module_pipeline = False
    observed, acted = (spaces.Dict({agent: both[i] for agent, both in port.agents.items()}) for i in (0, 1))
    return config.build_env_to_module_connector(
        env=None,
        spaces={INPUT_ENV_SPACES: (observed, acted), INPUT_ENV_SINGLE_SPACES: (observed, acted)},
        device=None,
    )


class Connected:
    """A multi-agent environment as modules meet it: its observations as the port's connectors leave them in the episodes.

    Attributes:
        space: of the learning agent's observations there.

    Raises:
        Exception: the connectors cannot be built from spaces alone.
    """

    def __init__(self, env: Any, port: Port) -> None:
        self._env, self._port, self._pipeline = env, port, _own(port)
        self.space = self._pipeline.observation_space[port.learning_agent]
        self._episode = MultiAgentEpisode()

    def get_action_space(self, agent: Any) -> spaces.Space:
        return self._env.get_action_space(agent)

    def reset(self, *, seed: int | None = None) -> tuple[dict[Any, Any], Any]:
        shown, infos = self._env.reset(seed=seed)
        observed, acted = ({agent: both[i] for agent, both in self._port.agents.items()} for i in (0, 1))
        self._episode = MultiAgentEpisode(
            observation_space=observed,
            action_space=acted,
            agent_to_module_mapping_fn=self._port.config.policy_mapping_fn,
        )
        self._episode.add_env_reset(observations=copy.deepcopy(shown), infos=infos)
        return self._connected(shown), infos

    def step(self, actions: dict[Any, Any]) -> Any:
        shown, rewards, terminateds, truncateds, infos = self._env.step(actions)
        self._episode.add_env_step(
            copy.deepcopy(shown), actions, rewards, infos, terminateds=terminateds, truncateds=truncateds
        )
        return self._connected(shown), rewards, terminateds, truncateds, infos

    def _connected(self, shown: dict[Any, Any]) -> dict[Any, Any]:
        self._pipeline(rl_module=None, batch={}, episodes=[self._episode], explore=True, shared_data={}, metrics=None)
        return {agent: self._episode.agent_episodes[agent].get_observations(-1) for agent in shown}


def pieces(pipeline: ConnectorPipelineV2) -> list[Any]:
    """Of a pipeline and of the pipelines in it."""
    flat: list[Any] = []
    for each in pipeline.connectors:
        flat += pieces(each) if isinstance(each, ConnectorPipelineV2) else [each]
    return flat


def _connector(piece: Any, agent: str) -> Connector:
    before, after = (
        space[agent] if isinstance(space, spaces.Dict) and agent in space.spaces else None
        for space in (piece.input_observation_space, piece.observation_space)
    )
    mask = (_mask(before), _mask(after))
    return Connector(
        name=type(piece).__name__,
        per_agent=after is not None,
        loses_mask=mask[0] is not None and mask[1] is None,
        moves_mask_to=_place(after) if mask[0] is not None and mask[1] is None else None,
        changes_mask=f"{mask[1]}, before {mask[0]}" if None not in mask and mask[0] != mask[1] else None,
        observations="" if after is None else str(after)[:200],
    )


def _mask(space: spaces.Space | None) -> spaces.Space | None:
    return space.spaces.get(MASK_KEY) if isinstance(space, spaces.Dict) else None


def _place(space: spaces.Space | None) -> str | None:
    """Path of the entry that holds the mask inside nested Dicts, ``entry/action_mask``."""
    if not isinstance(space, spaces.Dict):
        return None
    for name, part in space.spaces.items():
        if isinstance(part, spaces.Dict):
            if MASK_KEY in part.spaces:
                return f"{name}/{MASK_KEY}"
            inner = _place(part)
            if inner is not None:
                return f"{name}/{inner}"
    return None
