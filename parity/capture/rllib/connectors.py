"""Tries the port's own env-to-module connectors on the spaces of its environment: what each makes of an observation's mask."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from ray.rllib.connectors.connector_pipeline_v2 import ConnectorPipelineV2
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES

from parity.capture.raised import note
from parity.frameworks.rllib.config import Port
from parity.results.capture import Connector, Context
from parity.task.masks import MASK_KEY


def connectors_of(context: Context, port: Port) -> list[Connector]:
    """The port's own pieces in their order, as far as they can be built from spaces alone."""
    config = port.config.copy(copy_frozen=False)
    config.add_default_connectors_to_env_to_module_pipeline = False
    observed = spaces.Dict({agent: space for agent, (space, _) in port.agents.items()})
    acted = spaces.Dict({agent: space for agent, (_, space) in port.agents.items()})
    try:
        pipeline = config.build_env_to_module_connector(
            env=None,
            spaces={INPUT_ENV_SPACES: (observed, acted), INPUT_ENV_SINGLE_SPACES: (observed, acted)},
            device=None,
        )
        return [_connector(piece, port.learning_agent) for piece in pieces(pipeline)]
    except Exception as error:
        # One that needs the environment itself. One that cannot work has stopped the env runner too.
        if config._env_to_module_connector is not None and "build" not in context.raised:
            note(context, "connectors were not looked at one by one", error)
        return []


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
