"""Environments in the manner of packages: they reseed themselves, draw an instance, name their mask otherwise, run dry."""

from __future__ import annotations

import random
import signal
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from pettingzoo import AECEnv

from parity import PPOParams, Repeatable, Task
from parity.task.pettingzoo import AgainstOpponents

FIELDS = 4


class Match(gymnasium.Env):
    """Name the shown number; one of the others is forbidden."""

    observation_space: Any = spaces.Dict(
        {"shown": spaces.Box(0, 1, (FIELDS,), np.float32), "action_mask": spaces.Box(0, 1, (FIELDS,), np.int8)}
    )
    action_space: Any = spaces.Discrete(FIELDS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._begin(self.np_random)

    def _begin(self, generator: np.random.Generator) -> Any:
        self.generator, self.steps = generator, 0
        return self._observe(), {}

    def _observe(self) -> Any:
        self.shown = int(self.generator.integers(FIELDS))
        self.mask = np.ones(FIELDS, np.int8)
        self.mask[(self.shown + 1 + self.generator.integers(FIELDS - 1)) % FIELDS] = 0
        return {"shown": np.eye(FIELDS, dtype=np.float32)[self.shown], "action_mask": self.mask.copy()}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = float(action == self.shown)
        return self._observe(), reward, self.steps >= 8, False, {}


class Reseeds(Match):
    """A new generator at every reset, from entropy where there is no seed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._begin(np.random.default_rng(seed))


class DrawsAnInstance(Match):
    """What a number is worth is drawn by the constructor."""

    def __init__(self) -> None:
        self.worth = np.random.default_rng().random(FIELDS) + random.random()

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward * float(self.worth[int(action)]), *rest


class OnSystemRandom(Match):
    """Draws from where nobody can seed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._begin(np.random.default_rng(random.SystemRandom().getrandbits(64)))


class OtherNames(Match):
    """Its mask has the name that its authors like."""

    observation_space = spaces.Box(0, 1, (FIELDS,), np.float32)

    def _observe(self) -> Any:
        return super()._observe()["shown"]

    def valid_action_mask(self) -> np.ndarray:
        return self.mask

    def legal_actions(self) -> list[int]:
        return np.flatnonzero(self.mask).tolist()

    def is_valid_move(self, action: int) -> bool:
        return bool(self.mask[action])


class OnlyAList(Match):
    observation_space = spaces.Box(0, 1, (FIELDS,), np.float32)

    def reset(self, **kwargs: Any) -> Any:
        return super().reset(**kwargs)[0], {"legal_moves": [0, 1]}

    def _observe(self) -> Any:
        return super()._observe()["shown"]


class CannotBeMade(Match):
    def __init__(self) -> None:
        raise FileNotFoundError("no instance ta01.txt")


class CannotBeReset(Match):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        raise TypeError


class DeadEnds(Match):
    """Now and then nothing is legal, and the episode goes on all the same."""

    def _observe(self) -> Any:
        seen = super()._observe()
        if self.generator.random() < 0.05:
            self.mask[:] = 0
            seen["action_mask"] = self.mask.copy()
        return seen


class StrictDeadEnds(DeadEnds):
    def step(self, action: Any) -> Any:
        if not self.mask[int(action)]:
            raise ValueError(f"illegal action {int(action)}")
        return super().step(action)


class NeedsTheMainThread(Match):
    """Installs a handler for Ctrl-C, which Python allows in the main thread alone."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))


class Betting(AECEnv):
    """The dealer may end the game before the player's turn; else the player names the dealer's card."""

    metadata = {"name": "betting", "is_parallelizable": False}  # noqa: RUF012
    possible_agents = ["dealer", "player"]  # noqa: RUF012
    render_mode = None

    def observation_space(self, agent: Any) -> Any:
        return Match.observation_space

    def action_space(self, agent: Any) -> Any:
        return Match.action_space

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        if seed is not None or not hasattr(self, "generator"):
            self.generator = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.agent_selection = "dealer"
        self.card, self.turns = int(self.generator.integers(FIELDS)), 0
        self.rewards = self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}

    def observe(self, agent: Any) -> Any:
        mask = np.ones(FIELDS, np.int8)
        mask[(self.card + 1) % FIELDS] = 0
        return {"shown": np.eye(FIELDS, dtype=np.float32)[self.card], "action_mask": mask}

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        self.turns += 1
        self.rewards = dict.fromkeys(self.agents, 0.0)
        ended = self.turns >= 6 or (agent == "dealer" and action == 0)
        if agent == "player":
            self.rewards["player"] = float(action == self.card)
        self.card = int(self.generator.integers(FIELDS))
        if ended:
            self.rewards["player"] += 0.5
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = "player" if agent == "dealer" else "dealer"


class Network(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.trunk, self.head, self.critic = (
            torch.nn.Linear(FIELDS, 16),
            torch.nn.Linear(16, FIELDS),
            torch.nn.Linear(16, 1),
        )

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.trunk(obs["shown"] if isinstance(obs, dict) else obs))
        return self.head(features), self.critic(features).squeeze(-1)


def task(env: Any, **changes: Any) -> Task:
    given: dict[str, Any] = {
        "id": getattr(env, "__name__", "env").lower().strip("<>"), "env": env, "network": Network, "steps": 1024,
        "eval_every": 512, "eval_episodes": 10, "ppo": PPOParams(n_envs=4, n_steps=64, learning_rate=0.01),
    }  # fmt: skip
    return Task(**given | changes)


reseeds, instance, unrepeatable = task(Reseeds), task(DrawsAnInstance), task(OnSystemRandom)
repeatable = task(lambda: Repeatable(Reseeds), id="repeatable")
other_names, only_a_list = task(OtherNames), task(OnlyAList)
cannot_be_made, cannot_be_reset = task(CannotBeMade), task(CannotBeReset)
dead_ends, strict_dead_ends = task(DeadEnds), task(StrictDeadEnds)
declared_dead_ends = task(DeadEnds, id="declared", declared={"PAR005": "the packages' own dead ends"})
main_thread = task(NeedsTheMainThread)
betting = task(
    lambda: AgainstOpponents(Betting(), "player"), id="betting", multi_agent_env=Betting, learning_agent="player",
)  # fmt: skip
