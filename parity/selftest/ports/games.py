"""Good ports of several learning agents: PettingZoo's forms, turns, self-play, agents of different spaces."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import AECEnv, ParallelEnv
from ray.rllib.env.wrappers.pettingzoo_env import PettingZooEnv

from parity.selftest.good import MASK, SORTER, FlatNet, Sorting, SortingNetwork, small_task
from parity.selftest.ports.environments import built_in
from parity.selftest.register import good_port
from parity.task import Task
from parity.task.pettingzoo import AgainstOpponents

FIRST, SECOND = "first", "second"
SPEAKER, LISTENER = "speaker", "listener"
MOST_STONES = 9
WORDS, DOORS = 4, 3


class _Turns(AECEnv):
    """What an AEC environment keeps beside its game; agents act in the order of ``possible_agents``."""

    possible_agents: list[str]

    def observation_space(self, agent: str) -> spaces.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        if seed is not None or not hasattr(self, "np_random"):
            self.np_random, _ = seeding.np_random(seed)
        self.agents = list(self.possible_agents)
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            return self._was_dead_step(action)
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.agent_selection = self.possible_agents[1 - self.possible_agents.index(agent)]
        self._move(agent, int(action))
        self._accumulate_rewards()

    def _move(self, agent: str, action: int) -> None:
        raise NotImplementedError


class Pile(_Turns):
    """Two players take one to three stones from a pile in turn; who takes the last one wins 1, the other loses 1.

    The mask forbids to take more than there are. ``in_info`` shows it there, beside an observation that is no Dict.
    """

    metadata = {"name": "pile", "is_parallelizable": False}  # noqa: RUF012
    render_mode = None

    def __init__(self, in_info: bool = False) -> None:
        self.in_info = in_info
        self.possible_agents = [FIRST, SECOND]
        pile = spaces.Box(0.0, 1.0, (MOST_STONES + 1,), np.float32)
        shown = pile if in_info else spaces.Dict({"pile": pile, MASK: spaces.Box(0, 1, (3,), np.int8)})
        self.observation_spaces = dict.fromkeys(self.possible_agents, shown)
        self.action_spaces: dict[str, Any] = {agent: spaces.Discrete(3) for agent in self.possible_agents}

    def observe(self, agent: str) -> Any:
        pile = np.eye(MOST_STONES + 1, dtype=np.float32)[self.stones]
        return pile if self.in_info else {"pile": pile, MASK: self._mask()}

    def _mask(self) -> np.ndarray:
        return np.array([taken <= self.stones for taken in (1, 2, 3)], np.int8)

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        super().reset(seed)
        self.stones = int(self.np_random.integers(5, MOST_STONES + 1))
        self._tell()

    def _tell(self) -> None:
        if self.in_info:
            self.infos = {agent: {MASK: self._mask()} for agent in self.agents}

    def _move(self, agent: str, action: int) -> None:
        if action + 1 > self.stones:
            raise ValueError(f"{agent} takes {action + 1} of {self.stones}")
        self.stones -= action + 1
        if self.stones == 0:
            self.rewards = {a: 1.0 if a == agent else -1.0 for a in self.possible_agents}
            self.terminations = dict.fromkeys(self.agents, True)
        self._tell()


class Doors(_Turns):
    """The speaker sees which of three doors is right and says one of four words; the listener hears it and opens a door.

    Both are paid 1 for the right door. One word and one wrong door are forbidden, others in every round. Games last 2 to 4
    rounds; half of them are cut by a time limit.
    """

    metadata = {"name": "doors", "is_parallelizable": False}  # noqa: RUF012
    render_mode = None

    def __init__(self) -> None:
        self.possible_agents = [SPEAKER, LISTENER]
        self.observation_spaces = {
            SPEAKER: spaces.Dict({"right": spaces.Discrete(DOORS), MASK: spaces.Box(0, 1, (WORDS,), np.int8)}),
            LISTENER: spaces.Dict(
                {
                    "heard": spaces.Discrete(WORDS + 1),
                    "light": spaces.Box(-1.0, 1.0, (2,), np.float32),
                    MASK: spaces.Box(0, 1, (DOORS,), np.int8),
                }
            ),
        }
        self.action_spaces: dict[str, Any] = {SPEAKER: spaces.Discrete(WORDS), LISTENER: spaces.Discrete(DOORS)}

    def observe(self, agent: str) -> Any:
        if agent == SPEAKER:
            return {"right": np.int64(self.right), MASK: self.words.copy()}
        return {"heard": np.int64(self.heard), "light": self.light.copy(), MASK: self.open.copy()}

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        super().reset(seed)
        self.rounds, self.is_cut = int(self.np_random.integers(2, 5)), bool(self.np_random.random() < 0.5)
        self._draw()

    def _draw(self) -> None:
        self.right, self.heard = int(self.np_random.integers(DOORS)), WORDS
        self.words = (np.arange(WORDS) != self.np_random.integers(DOORS, WORDS + 3)).astype(np.int8)
        self.open = (np.arange(DOORS) != (self.right + self.np_random.integers(1, DOORS)) % DOORS).astype(np.int8)
        self.light = self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def _move(self, agent: str, action: int) -> None:
        if agent == SPEAKER:
            self.heard = action
            return
        self.rewards = dict.fromkeys(self.possible_agents, float(action == self.right))
        self.rounds -= 1
        self._draw()
        if self.rounds == 0:
            ending = self.truncations if self.is_cut else self.terminations
            ending.update(dict.fromkeys(self.agents, True))


def says_the_door(observation: Any, mask: np.ndarray, action_space: Any, generator: np.random.Generator) -> int:
    """The speaker that the listener learns beside in the single-agent form."""
    return int(observation["right"])


class SortingAtOnce(ParallelEnv):
    """``Sorting`` as a parallel environment: the clerk may choose too, and leaves half-way; nothing that it does matters."""

    metadata = {"name": "sorting", "is_parallelizable": True}  # noqa: RUF012
    render_mode = None

    def __init__(self) -> None:
        self.env = Sorting()
        self.possible_agents = [SORTER, "clerk"]
        seen: Any = self.env.observation_space
        self.observation_spaces = {SORTER: seen, "clerk": seen["label"]}
        self.action_spaces = {SORTER: self.env.action_space, "clerk": spaces.Discrete(2)}

    def observation_space(self, agent: str) -> spaces.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        return self.action_spaces[agent]

    def _shown(self, seen: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        masks = {SORTER: self.env.action_masks(), "clerk": np.array([1, self.env.t % 2], np.int8)}
        observations = {SORTER: seen, "clerk": seen["label"].copy()}
        return {a: observations[a] for a in self.agents}, {a: {MASK: masks[a]} for a in self.agents}

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        seen, _ = self.env.reset(seed=seed)
        self.agents = list(self.possible_agents)
        return self._shown(seen)

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        seen, reward, terminated, truncated, _ = self.env.step(actions[SORTER])
        observations, infos = self._shown(seen)
        rewards = dict.fromkeys(self.agents, float(reward))
        leaves = self.env.t == 3
        terminations = {agent: terminated or (agent == "clerk" and leaves) for agent in self.agents}
        truncations = {agent: truncated and not terminations[agent] for agent in self.agents}
        self.agents = [agent for agent in self.agents if not (terminations[agent] or truncations[agent])]
        return observations, rewards, terminations, truncations, infos


@good_port("self-play: both players of a PettingZoo AEC game learn, SB3 plays one of them against uniform moves")
def self_play() -> Task:
    env = lambda: AgainstOpponents(Pile(), FIRST)  # noqa: E731
    return small_task("pile", env, FlatNet, multi_agent_env=Pile, learning_agent=FIRST)


@good_port("the same for the player who moves second, masks in info beside a Box")
def self_play_second_seat() -> Task:
    return replace(
        self_play(),
        env=lambda: AgainstOpponents(Pile(in_info=True), SECOND),
        multi_agent_env=lambda: Pile(in_info=True),
        learning_agent=SECOND,
    )


@good_port("an AEC game against a fixed opponent, which changes seats at every reset")
def changing_seats() -> Task:
    return replace(self_play(), env=lambda: AgainstOpponents(Pile()), multi_agent_env=None, learning_agent=None)


@good_port("a turn-based pair of different observation and action spaces, some games truncated; both learn")
def turn_based_pair() -> Task:
    env = lambda: AgainstOpponents(Doors(), LISTENER, says_the_door)  # noqa: E731
    return small_task("doors", env, FlatNet, multi_agent_env=Doors, learning_agent=LISTENER)


@good_port("a PettingZoo parallel environment whose second agent leaves earlier, masks in info")
def parallel_environment() -> Task:
    port = {"multi_agent_env": SortingAtOnce, "learning_agent": SORTER}
    return small_task("sorting-at-once", Sorting, SortingNetwork, **port)


for _name, _what in {
    "tictactoe-selfplay": "both agents learn, and are evaluated against another opponent",
    "connect-four": "an AEC game against uniform moves",
}.items():
    good_port(f"built-in task {_name}: {_what}", name=_name)(partial(built_in, _name))


@good_port("an AEC game without a time limit in RLlib's own PettingZoo wrapper")
def rllibs_own_wrapper() -> Task:
    return replace(self_play(), multi_agent_env=lambda: PettingZooEnv(Pile()))
