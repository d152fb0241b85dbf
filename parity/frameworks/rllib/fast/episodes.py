"""RLlib's episodes, made from a rollout's arrays in one go.

``MultiAgentEpisode.add_env_step`` takes 30 µs a step; where every agent observes and acts at every step the same episodes
can be put together from arrays that hold all of them, when somebody looks at one. Their buffers are views of these arrays,
so that whoever changes a value in an episode changes it in the arrays too; who exchanges a buffer is found out by
`Unit.is_untouched`.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from parity.frameworks.rllib.fast.recording import Game

ROWS = "parity_rows"
"""Key in the ``custom_data`` of a rollout's first episode, of its `Rollout`."""

_EMPTY = SingleAgentEpisode()


@dataclasses.dataclass(slots=True)
class Unit:
    """One agent's part in one game.

    Attributes:
        game, agent: of which.
        low, high: its rows in the module's arrays, its last observation not counted.
        before: rows in front of ``low`` with what the episode keeps from earlier rollouts.
        terminated, truncated: how it ended, neither where the rollout was cut.
        episode: RLlib's; empty until somebody looks at it.
        buffers: those that it was made with.
    """

    game: Game
    agent: Any
    low: int
    high: int
    before: int
    terminated: bool
    truncated: bool
    episode: SingleAgentEpisode = _EMPTY
    buffers: dict[str, Any] = dataclasses.field(default_factory=dict)

    def is_untouched(self) -> bool:
        """Whether the episode still has its buffers, so that the arrays hold what it holds."""
        if self.episode is _EMPTY:
            return True
        mine, extra = self.episode, self.episode.extra_model_outputs
        buffers = self.buffers
        return (
            mine.observations.data is buffers[Columns.OBS]
            and mine.actions.data is buffers[Columns.ACTIONS]
            and mine.rewards.data is buffers[Columns.REWARDS]
            and len(extra) == len(buffers) - 3
            and all(name in buffers and buffer.data is buffers[name] for name, buffer in extra.items())
            and (bool(mine.is_terminated), bool(mine.is_truncated)) == (self.terminated, self.truncated)
            and mine.t - mine.t_started == self.high - self.low
        )


@dataclasses.dataclass
class ModuleRows:
    """All rows of one module in one rollout.

    Every unit has its rows one after the other: what its episode keeps from earlier, its steps, and a last one for the
    observation after them, whose other columns repeat the last step (reward 0), as RLlib's learner appends it.

    Args:
        units: in the order of RLlib's list of episodes.
        make: called for ``columns`` and ``values`` when somebody looks at one.
    """

    units: list[Unit]
    make: Callable[[], tuple[dict[str, Any], np.ndarray | None]] | None

    @property
    def columns(self) -> dict[str, Any]:
        """``obs``, ``actions``, ``rewards`` (float64) and all that the module returned, ``[S, …]``."""
        return self._made[0]

    @property
    def values(self) -> np.ndarray | None:
        """float32 ``[S]``, of the forward passes that the actions are from, where the env runner kept them; none of a unit's
        last row."""
        return self._made[1]

    @functools.cached_property
    def _made(self) -> tuple[dict[str, Any], np.ndarray | None]:
        assert self.make is not None
        made = self.make()
        self.make = None  # which holds the whole rollout
        return made

    def __getstate__(self) -> dict[str, Any]:
        """A copy has its columns."""
        return {"units": self.units, "_made": self._made, "make": None}

    def is_untouched(self) -> bool:
        return all(unit.is_untouched() for unit in self.units)


@dataclasses.dataclass
class Rollout:
    """What a fast env runner hands to the learner beside the episodes of one rollout.

    Attributes:
        episodes: all of them, in their order, each one of `make_episodes`.
        modules: the arrays that hold them.
        env_steps: of all episodes together.
    """

    episodes: list[EpisodeLater]
    modules: dict[str, ModuleRows]
    env_steps: int

    def is_of(self, episodes: list[Any]) -> bool:
        """Whether these are the episodes that the arrays hold, and nobody has changed them."""
        return (
            len(episodes) == len(self.episodes)
            and all(a is b for a, b in zip(episodes, self.episodes, strict=True))
            and all(episode.is_whole() for episode in self.episodes)
            and all(module.is_untouched() for module in self.modules.values())
        )


class EpisodeLater(MultiAgentEpisode):
    """An episode that is made when somebody looks at it, or copies it, or sends it elsewhere."""

    __slots__ = ("_agents", "_make", "ended_terminated")

    def __init__(self, game: Game, agents: int, make: Callable[[], MultiAgentEpisode]) -> None:
        own = {"id_": game.episode.id_, "_custom_data": game.episode._custom_data, "_agents": agents, "_make": make}
        # `is_terminated`, for those who would have it made for nothing else.
        for name, value in (own | {"ended_terminated": game.terminated}).items():
            object.__setattr__(self, name, value)

    def is_whole(self) -> bool:
        """Whether no agent was taken out of it or put into it."""
        return self._make is not None or len(self.agent_episodes) == self._agents

    def make(self) -> None:
        make = self._make
        if make is not None:
            object.__setattr__(self, "_make", None)
            _filled(_slots(make()), self)

    def __getattr__(self, name: str) -> Any:
        """Asked for what is not there yet."""
        if name not in MultiAgentEpisode.__slots__ or self._make is None:
            raise AttributeError(name)
        self.make()
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.make()
        object.__setattr__(self, name, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A copy is a plain episode."""
        self.make()
        return _filled, (_slots(self),)


def _slots(episode: MultiAgentEpisode) -> dict[str, Any]:
    return {name: getattr(episode, name) for name in MultiAgentEpisode.__slots__}


def _filled(slots: dict[str, Any], episode: MultiAgentEpisode | None = None) -> MultiAgentEpisode:
    into = MultiAgentEpisode.__new__(MultiAgentEpisode) if episode is None else episode
    for name, value in slots.items():
        object.__setattr__(into, name, value)
    return into


def make_episodes(
    games: list[Game], rows: dict[str, ModuleRows], spaces: list[tuple[dict[Any, Any], dict[Any, Any]]]
) -> list[EpisodeLater]:
    """Episodes as ``to_numpy()`` leaves them.

    Args:
        games: all of them ``simultaneous``.
        rows: by module.
        spaces: observation and action spaces by agent, of each sub-environment.
    """
    units: dict[int, list[tuple[Unit, ModuleRows]]] = {}
    for module in rows.values():
        for unit in module.units:
            units.setdefault(id(unit.game), []).append((unit, module))
    structures: dict[int, Any] = {}
    made = []
    for game in games:
        parts = units[id(game)]
        make = functools.partial(_episode, game, parts, *spaces[game.index], structures)
        made.append(EpisodeLater(game, len(parts), make))
    return made


class PlayedEpisode:
    """What RLlib's metrics ask of an episode, without the episode."""

    is_done = True

    def __init__(self, game: Game) -> None:
        self.id_ = game.episode.id_
        self._steps = len(game.turns)
        self._seconds = game.stepped_at - game.started_at if game.stepped_at is not None else 0.0
        self.agent_episodes = {
            agent: PlayedPart(agent, module_id, [turn.rewards[agent] or 0.0 for turn in game.turns])
            for agent, module_id in game.modules.items()
        }

    def __len__(self) -> int:
        return self._steps

    def get_return(self) -> float:
        return sum(part.get_return() for part in self.agent_episodes.values())

    def get_duration_s(self) -> float:
        return self._seconds


@dataclasses.dataclass(slots=True)
class PlayedPart:
    """One agent's part of a `PlayedEpisode`."""

    agent_id: Any
    module_id: str
    rewards: list[float]

    def __len__(self) -> int:
        return len(self.rewards)

    def get_return(self) -> float:
        return sum(self.rewards)


def as_lists(episode: MultiAgentEpisode) -> None:
    """Gives an episode lists of single items in place of arrays, as RLlib has them before ``to_numpy()``."""
    for each in episode.agent_episodes.values():
        for buffer in (each.observations, each.actions, each.rewards, *each.extra_model_outputs.values()):
            if buffer.finalized:
                length = len(tree.flatten(buffer.data)[0])
                buffer.data = [_slice(buffer.data, k, None) for k in range(length)]
                buffer.finalized = False


def _episode(
    game: Game,
    units: list[tuple[Unit, ModuleRows]],
    observation_spaces: dict[Any, Any],
    action_spaces: dict[Any, Any],
    structures: dict[int, Any],
) -> MultiAgentEpisode:
    given = game.episode
    episode = MultiAgentEpisode.__new__(MultiAgentEpisode)
    episode.id_ = given.id_
    episode.agent_to_module_mapping_fn = given.agent_to_module_mapping_fn
    episode._agent_to_module_mapping = dict(game.modules)
    episode._len_lookback_buffers = given._len_lookback_buffers
    episode.observation_space, episode.action_space = observation_spaces, action_spaces
    episode.env_t_started = given.env_t
    episode.env_t = given.env_t + len(game.turns)
    episode.agent_t_started = defaultdict(int, given.agent_t_started)
    episode.env_t_to_agent_t = defaultdict(InfiniteLookbackBuffer)
    episode._hanging_actions_end = {}
    episode._hanging_extra_model_outputs_end = defaultdict(dict)
    episode._hanging_rewards_end = defaultdict(float)
    episode._hanging_rewards_begin = defaultdict(float, given._hanging_rewards_begin)
    episode.is_terminated, episode.is_truncated = game.terminated, game.truncated
    episode.agent_episodes = {}
    episode._custom_data = given._custom_data
    episode._start_time, episode._last_step_time = game.started_at, game.stepped_at
    for unit, module in units:
        _add_agent(episode, unit, module.columns, structures)
    # In the order in which agents appeared, whatever the order of modules.
    for store in (episode.agent_episodes, episode.env_t_to_agent_t):
        for agent in game.modules:
            store[agent] = store.pop(agent)
    return episode


def _add_agent(into: MultiAgentEpisode, unit: Unit, columns: dict[str, Any], structures: dict[int, Any]) -> None:
    game, agent = unit.game, unit.agent
    earlier = game.episode.agent_episodes.get(agent)
    first, steps = unit.low - unit.before, unit.high - unit.low
    episode = SingleAgentEpisode.__new__(SingleAgentEpisode)
    episode.id_ = uuid.uuid4().hex if earlier is None else earlier.id_
    episode.agent_id, episode.module_id = agent, game.modules[agent]
    episode.multi_agent_episode_id = into.id_
    spaces = into.observation_space.get(agent), into.action_space.get(agent)
    episode._observation_space, episode._action_space = spaces

    def buffer(name: str, space: Any = None, last: int = 0) -> InfiniteLookbackBuffer:
        data = _slice(columns[name], first, unit.high + last)
        unit.buffers[name] = data
        return _buffer(data, unit.before, space, structures)

    episode.observations = buffer(Columns.OBS, spaces[0], last=1)
    episode.actions = buffer(Columns.ACTIONS, spaces[1])
    episode.rewards = buffer(Columns.REWARDS, _EMPTY.rewards.space)
    episode.extra_model_outputs = {
        name: buffer(name) for name in columns if name not in (Columns.OBS, Columns.ACTIONS, Columns.REWARDS)
    }
    infos = [] if earlier is None else list(earlier.infos.data)
    if game.began is not None:
        infos.append(game.began[1].get(agent) or {})
    infos += [turn.infos.get(agent) or {} for turn in game.turns]
    episode.infos = _buffer(infos, unit.before, None, structures)
    episode.is_terminated, episode.is_truncated = unit.terminated, unit.truncated
    episode.t_started = 0 if earlier is None else earlier.t
    episode.t = episode.t_started + steps
    episode._custom_data = {} if earlier is None else earlier._custom_data
    episode._start_time, episode._last_step_time = game.started_at, game.stepped_at
    episode._last_added_infos = infos[-1]
    episode._last_added_observation = _slice(columns[Columns.OBS], unit.high, None)
    into.agent_t_started[agent] = episode.t_started
    timesteps: list[Any] = [0]
    lookback = 0
    if earlier is not None:
        timesteps, lookback = (
            list(game.episode.env_t_to_agent_t[agent].data),
            game.episode.env_t_to_agent_t[agent].lookback,
        )
    timesteps += range(episode.t_started + 1, episode.t + 1)
    into.env_t_to_agent_t[agent] = _buffer(timesteps, lookback, None, structures)
    unit.episode = into.agent_episodes[agent] = episode


def _slice(column: Any, low: int, high: int | None) -> Any:
    """Views of rows ``low`` to ``high``; of the one row ``low`` where ``high`` is None."""
    chosen = low if high is None else slice(low, high)
    if isinstance(column, np.ndarray):
        return column[chosen]
    if type(column) is dict:
        return {name: _slice(part, low, high) for name, part in column.items()}
    return tree.map_structure(lambda array: array[chosen], column)


def _buffer(data: Any, lookback: int, space: Any, structures: dict[int, Any]) -> InfiniteLookbackBuffer:
    buffer = InfiniteLookbackBuffer.__new__(InfiniteLookbackBuffer)
    buffer.data, buffer.lookback, buffer.finalized = data, lookback, not isinstance(data, list)
    buffer._space = space
    if space is None:
        buffer._space_struct = None
    else:
        if id(space) not in structures:
            structures[id(space)] = InfiniteLookbackBuffer(space=space)._space_struct
        buffer._space_struct = structures[id(space)]
    return buffer
