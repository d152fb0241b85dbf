"""The limit of a port in which several agents learn: its own environment, and a network and an update for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from parity.bench.limit import Limit, Player
from parity.errors import CannotStart
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.rllib.config import build_port
from parity.frameworks.rllib.env import has_choice, make_multi_agent_env
from parity.frameworks.rllib.module import SharedNetworkModule, unmasked, unmasked_space
from parity.task import Task
from parity.task.masks import MASK_KEY

Shown = tuple[spaces.Dict, bool]
"""An agent's observation space with its mask, and whether the network sees only its entry ``observations``."""


class _Together:
    """A multi-agent environment in which all players act in every step; agents without a choice take their only action."""

    def __init__(self, task: Task, players: Mapping[Any, Shown], idle: Mapping[Any, Any], seed: int) -> None:
        self.env, self._players, self._idle = make_multi_agent_env(task), players, idle
        self._show(self.env.reset(seed=seed)[0])

    def step(self, actions: Sequence[Any]) -> tuple[list[float], bool]:
        given = {**dict(zip(self._players, actions, strict=True)), **self._idle}
        observations, rewards, terminateds, truncateds, _ = self.env.step(given)
        ended = bool(terminateds["__all__"] or truncateds.get("__all__", False))
        self._show(self.env.reset()[0] if ended else observations)
        return [float(rewards.get(agent, 0.0)) for agent in self._players], ended

    def _show(self, observations: dict[Any, Any]) -> None:
        if not observations.keys() >= self._players.keys():
            raise CannotStart("there is no limit of a port whose agents take turns")
        self.shown = [
            (unmasked(observations[agent], *how), np.asarray(observations[agent][MASK_KEY], dtype=bool))
            for agent, how in self._players.items()
        ]


def limit_of_port(task: Task, seed: int, device: str) -> Limit:
    """The limit of what RLlib trains for a task.

    Raises:
        CannotStart: its modules are no networks of parity's, or its agents take turns.
    """
    port = build_port(task, seed, device)
    specs = port.config._rl_module_spec.rl_module_specs
    trained = port.config.policies_to_train
    idle = {agent: 0 for agent, (_, actions) in port.agents.items() if not has_choice(actions)}
    players, shown = [], {}
    for agent, (space, actions) in port.agents.items():
        if agent in idle:
            continue
        spec = specs.get(str(agent))
        is_trained = trained is None or (not callable(trained) and str(agent) in trained)
        if spec is None or spec.module_class is not SharedNetworkModule or not is_trained:
            raise CannotStart(
                f"there is no limit of a port that brings the module of agent {agent} or does not train it"
            )
        assert isinstance(space, spaces.Dict)  # as parity's own module needs it
        shown[agent] = space, spec.model_config["wrapped"]
        seen = unmasked_space(*shown[agent])
        players.append(Player(task, spec.model_config["network"], seen, actions, seed, device))
    games = [_Together(task, shown, idle, seed * SEED_STRIDE + i) for i in range(task.ppo.n_envs)]
    return Limit(task, games, players, device)
