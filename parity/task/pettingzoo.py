"""PettingZoo's environments: an AEC game turn by turn, and as a single-agent environment against fixed opponents.

Neither PettingZoo nor a framework is imported here. RLlib's form of these environments is in
``parity.frameworks.rllib.pettingzoo``.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding

from parity.errors import CannotStart
from parity.task.masks import MASK_KEY, as_mask, n_logits, uniform_legal_action

Ending = Literal["terminated", "truncated"]
Opponent = Callable[[Any, np.ndarray, spaces.Space, np.random.Generator], Any]
"""``(observation, mask bool [n_logits], action space, generator) -> action``; all randomness from the generator."""


def form(env: Any) -> Literal["aec", "parallel"] | None:
    """Which of PettingZoo's two interfaces ``env`` has, if any."""
    pettingzoo = sys.modules.get("pettingzoo")  # whoever made such an environment has imported it
    if pettingzoo is None:
        return None
    if isinstance(env, pettingzoo.AECEnv):
        return "aec"
    return "parallel" if isinstance(env, pettingzoo.ParallelEnv) else None


@dataclasses.dataclass(frozen=True)
class Turn:
    """What happened between one decision and the next."""

    agent: Any  # the one that decides now; None if the episode is over
    rewards: dict[Any, float]  # of every agent in the game, since the decision before
    left: dict[Any, Ending]  # agents for which the game has ended since, and how
    last: dict[Any, tuple[Any, dict[str, Any]]]  # the last observation and info of each agent in ``left``


class Game:
    """An AEC environment, one decision at a time.

    Agents for which the game has ended are stepped out of it (``step(None)``, as PettingZoo wants it). A reward is the sum of
    ``env.rewards`` after every step, as in PettingZoo's own conversion of AEC to parallel.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self._left: set[Any] = set()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Turn:
        self.env.reset(seed=seed, options=options)
        self._left = set()
        return self._turn({})

    def step(self, action: Any) -> Turn:
        """The agent whose turn it is acts."""
        self.env.step(action)
        # An environment that still rewards an agent that has left is mistaken.
        return self._turn({a: float(reward) for a, reward in self.env.rewards.items() if a not in self._left})

    def observe(self, agent: Any) -> tuple[Any, dict[str, Any]]:
        return self.env.observe(agent), dict(self.env.infos.get(agent) or {})

    def _turn(self, rewards: dict[Any, float]) -> Turn:
        env = self.env
        left: dict[Any, Ending] = {}
        last: dict[Any, tuple[Any, dict[str, Any]]] = {}
        while env.agents:
            over = [agent for agent in env.agents if env.terminations[agent] or env.truncations[agent]]
            for agent in over:
                if agent not in self._left:
                    self._left.add(agent)
                    left[agent] = "terminated" if env.terminations[agent] else "truncated"
                    last[agent] = self.observe(agent)
            if env.agent_selection not in over:
                return Turn(env.agent_selection, rewards, left, last)
            env.step(None)
        return Turn(None, rewards, left, last)


# Games that may be over before the learning agent's first turn, until there is one in which it plays.
MOST_GAMES = 1_000


def uniform_legal(
    observation: Any, mask: np.ndarray, action_space: spaces.Space, generator: np.random.Generator
) -> Any:
    """The opponent that plays uniformly over legal actions."""
    return uniform_legal_action(mask, action_space, generator)


def shown_mask(observation: Any, info: dict[str, Any], key: str = MASK_KEY) -> Any:
    """The mask in the observation or in info, where PettingZoo's environments show it; None if there is none."""
    if isinstance(observation, dict) and key in observation:
        return observation[key]
    return info.get(key)


class AgainstOpponents(gymnasium.Env):
    """One agent of an AEC environment as a single-agent environment; all others play a fixed policy.

    One step is one decision of the agent and everything until its next: rewards in between are summed, rewards before its
    first decision are dropped, and so are games that are over before it. Observations and infos are the game's own, mask
    included. All randomness of the opponents comes from a generator that ``reset(seed=...)`` seeds; the game is reset with
    the same seed.

    Args:
        env: the ``pettingzoo.AECEnv``; a parallel one goes through ``pettingzoo.utils.conversions.parallel_to_aec``.
        agent: the one that learns. None draws it uniformly at every reset; all agents then need the same spaces. To compare
            a port with a ``learning_agent``, name the agent.
        opponent: plays every other agent.
        mask_key: the mask's name in observations or infos.

    Raises:
        CannotStart: ``env`` is no AEC environment, has no such agent, or its agents cannot change seats.
    """

    def __init__(
        self, env: Any, agent: Any = None, opponent: Opponent = uniform_legal, mask_key: str = MASK_KEY
    ) -> None:
        if form(env) != "aec":
            raise CannotStart(
                f"AgainstOpponents got a {type(env).__name__}: give it a pettingzoo.AECEnv (a parallel environment goes "
                "through pettingzoo.utils.conversions.parallel_to_aec)."
            )
        self.possible_agents = list(env.possible_agents)
        seats = self.possible_agents if agent is None else [agent]
        if not set(seats) <= set(self.possible_agents):
            names = ", ".join(map(str, self.possible_agents))
            raise CannotStart(f'AgainstOpponents: "{agent}" is not among the agents {names}.')
        if any((env.observation_space(a), env.action_space(a)) != self._spaces(env, seats[0]) for a in seats):
            raise CannotStart(
                "AgainstOpponents: agents of different spaces cannot change seats: name the learning agent."
            )
        self.game = Game(env)
        self.observation_space, self.action_space = self._spaces(env, seats[0])
        self._fixed, self._opponent, self.mask_key = agent, opponent, mask_key
        self.agent = agent
        self._generator: np.random.Generator | None = None
        self.render_mode = getattr(env, "render_mode", None)

    @staticmethod
    def _spaces(env: Any, agent: Any) -> tuple[spaces.Space, spaces.Space]:
        return env.observation_space(agent), env.action_space(agent)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._generator is None:
            self._generator = _of_opponents(self.np_random)
        self.agent = self._seat(self._generator)
        for _ in range(MOST_GAMES):
            observation, _, terminated, truncated, info = self._until_next(self.game.reset(seed, options))
            if not (terminated or truncated):
                return observation, info
            # There is nothing to learn in a game that others end before it is the agent's turn: the next one.
            seed = None
        raise CannotStart(
            f"{type(self.game.env).__name__}: {MOST_GAMES} games one after the other are over for {self.agent} before its "
            "first turn."
        )

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._until_next(self.game.step(action))

    def opponents(self, seed: int) -> Callable[[Any, Any, dict[str, Any]], Any]:
        """``(agent, observation, info) -> action``: plays as the opponents do after ``reset(seed=seed)``, for playing the same
        game elsewhere."""
        generator = _of_opponents(seeding.np_random(seed)[0])
        self._seat(generator)
        return lambda agent, observation, info: self._play(agent, observation, info, generator)

    def render(self) -> Any:
        return self.game.env.render()

    def close(self) -> None:
        self.game.env.close()

    def _seat(self, generator: np.random.Generator) -> Any:
        if self._fixed is not None:
            return self._fixed
        return self.possible_agents[generator.integers(len(self.possible_agents))]

    def _until_next(self, turn: Turn) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Lets the opponents play until it is the learning agent's turn, or the game is over for it."""
        reward = turn.rewards.get(self.agent, 0.0)
        while turn.agent not in (None, self.agent) and self.agent not in turn.left:
            assert self._generator is not None
            action = self._play(turn.agent, *self.game.observe(turn.agent), self._generator)
            turn = self.game.step(action)
            reward += turn.rewards.get(self.agent, 0.0)
        if turn.agent == self.agent and turn.agent is not None:
            observation, info = self.game.observe(self.agent)
            return observation, reward, False, False, info
        if self.agent not in turn.left:
            raise CannotStart(
                f"{type(self.game.env).__name__}: {self.agent} is gone from env.agents without terminations or truncations."
            )
        observation, info = turn.last[self.agent]
        how = turn.left[self.agent]
        return observation, reward, how == "terminated", how == "truncated", info

    def _play(self, agent: Any, observation: Any, info: dict[str, Any], generator: np.random.Generator) -> Any:
        space = self.game.env.action_space(agent)
        mask = shown_mask(observation, info, self.mask_key)
        legal = np.ones(n_logits(space), dtype=bool) if mask is None else as_mask(mask, space, f"agent {agent}")
        return self._opponent(observation, legal, space, generator)


def _of_opponents(generator: np.random.Generator) -> np.random.Generator:
    """A separate stream: from the same seed the learning agent's player would otherwise draw the same numbers."""
    return generator.spawn(1)[0]
