"""The board games as tasks.

Reference scores: results/reference/board_games.json, computed by benchmarks/board_games_reference.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from parity_envs.pettingzoo_classic.games import FIRST, against_uniform, make_game
from parity_envs.pettingzoo_classic.network import BoardNetwork

from parity import PPOParams, Task
from parity.task import Reference

if TYPE_CHECKING:
    from ray.rllib.algorithms.ppo import PPOConfig

SOURCE = "results/reference/board_games.json (benchmarks/board_games_reference.py)"


def evaluated_against_uniform(config: PPOConfig, name: str) -> PPOConfig:
    """Trains both agents against each other, and evaluates the first against the opponent that SB3 trains with."""
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
    from ray.tune.registry import register_env

    from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
    from parity.task.masks import MaskedEnv

    against = f"{name}-against-uniform"
    register_env(against, lambda _: SingleAgentAsMultiAgent(MaskedEnv(against_uniform(name)), FIRST[name]))
    return config.evaluation(evaluation_config=AlgorithmConfig.overrides(env=against))


_PPO = PPOParams(n_envs=8, n_steps=256, batch_size=256, n_epochs=6, learning_rate=1e-3, gamma=1.0, ent_coef=0.01)
_SETTINGS: dict[str, Any] = {"ppo": _PPO, "steps": 65_536, "eval_every": 8_192, "eval_episodes": 100}
_REFERENCES: dict[str, Reference] = {
    "tictactoe_v3": {"uniform_legal": 0.297, "best": 0.995, "source": SOURCE},
    "connect_four_v3": {"uniform_legal": 0.111, "best": 1.0, "source": SOURCE},
}


def _task(name: str, id: str, self_play: bool = False, **settings: Any) -> Task:
    evaluated = partial(evaluated_against_uniform, name=name) if self_play else None
    return Task(
        id=id,
        env=partial(against_uniform, name),
        network=BoardNetwork,
        reference=_REFERENCES[name],
        multi_agent_env=partial(make_game, name) if self_play else None,
        learning_agent=FIRST[name] if self_play else None,
        rllib_config=evaluated,
        rllib_old_config=evaluated,
        **_SETTINGS | settings,
    )


tictactoe = _task("tictactoe_v3", "tictactoe")
tictactoe_selfplay = _task("tictactoe_v3", "tictactoe-selfplay", self_play=True)
connect_four = _task("connect_four_v3", "connect-four")
# In self-play a step is one player's move: with twice the steps the first player decides as often as in connect-four. The
# larger bonus for entropy keeps the opponent varied: each player otherwise learns to beat the other one only, and forgets.
connect_four_selfplay = _task(
    "connect_four_v3",
    "connect-four-selfplay",
    self_play=True,
    steps=131_072,
    eval_every=16_384,
    ppo=replace(_PPO, ent_coef=0.1),
)
