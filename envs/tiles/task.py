"""The tiles problems as tasks.

Reference scores: results/reference/tiles.json, computed by benchmarks/tiles_reference.py; rounded to three digits here.
``best`` is greedy play by between-class variance; one step of policy improvement adds nothing to it that 2,000 episodes
show, and a trained MaskablePPO does not pass it.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

from parity_envs.tiles.env import TilesEnv
from parity_envs.tiles.network import FullTilesNetwork, TilesNetwork

from parity import PPOParams, Task
from parity.task import Reference

if TYPE_CHECKING:
    from parity_envs.tiles.multi_agent import TilesMultiAgentEnv
    from ray.rllib.algorithms.ppo import PPOConfig

LEARNING_AGENT = "tile_selector"
SOURCE = "results/reference/tiles.json (benchmarks/tiles_reference.py)"


def make_multi_agent_env(**kwargs: Any) -> TilesMultiAgentEnv:
    """``TilesMultiAgentEnv(**kwargs)``; Ray is imported only here."""
    from parity_envs.tiles.multi_agent import TilesMultiAgentEnv

    return TilesMultiAgentEnv(**kwargs)


def freeze_res_selector(config: PPOConfig) -> PPOConfig:
    """Trains ``tile_selector`` alone, beside the fixed policy that ``TilesEnv`` plays in the single-agent form."""
    from parity_envs.tiles.multi_agent import RES_SELECTOR, TILE_SELECTOR
    from parity_envs.tiles.scripted import ScriptedResolutionModule
    from ray.rllib.core.rl_module.rl_module import RLModuleSpec

    modules = config.rl_module_spec
    modules.add_modules({RES_SELECTOR: RLModuleSpec(module_class=ScriptedResolutionModule)})
    return config.rl_module(rl_module_spec=modules).multi_agent(policies_to_train=[TILE_SELECTOR])


def _reference(uniform_legal: float, best: float) -> Reference:
    return {"uniform_legal": uniform_legal, "best": best, "source": SOURCE}


_SMALL = PPOParams(n_envs=8, n_steps=256, batch_size=256, n_epochs=4, learning_rate=1e-3)
_FULL = PPOParams(n_envs=8, n_steps=256, batch_size=256, n_epochs=4, learning_rate=5e-4)


def _small(
    id: str, reference: Reference, rllib_config: Any = None, declared: dict[str, str] | None = None, **kwargs: Any
) -> Task:
    return Task(
        id=id,
        env=partial(TilesEnv, **kwargs),
        network=TilesNetwork,
        ppo=_SMALL,
        steps=65_536,
        eval_every=8_192,
        eval_episodes=100,
        reference=reference,
        multi_agent_env=partial(make_multi_agent_env, **kwargs),
        learning_agent=LEARNING_AGENT,
        rllib_config=rllib_config,
        declared=declared or {},
    )


# 16 classes, 4 tiles; res_selector has one action, so the second agent changes nothing.
tiles = _small("tiles", _reference(0.347, 0.668))

# Limits of 2, 3 and 4 steps are equally likely; at 4 the episode terminates, at the others it is truncated.
# Without a bonus for entropy SB3's policy becomes certain too early, and stays at two thirds of the way.
tiles_time_limit = dataclasses.replace(
    _small("tiles-time-limit", _reference(0.26, 0.535), time_limit=(2, 4)),
    ppo=dataclasses.replace(_SMALL, ent_coef=0.01),
    steps=98_304,
)

# res_selector has three actions and a fixed policy, the same on both sides.
tiles_resolution = _small("tiles-resolution", _reference(0.367, 0.698), freeze_res_selector, res_actions=3)

# Both agents learn. SB3 has no second agent: it learns beside the fixed policy, and `best` is the best single resolution.
_OTHER = "the other agent learns too, and the resolution that it picks changes noise and price"
tiles_two_learners = _small(
    "tiles-two-learners",
    _reference(0.367, 0.724),
    declared={"PAR030": _OTHER, "PAR032": _OTHER},
    res_actions=3,
)

_HUNDRED: dict[str, Any] = {"n_classes": 100, "horizon": 8}

# 100 classes, 8 tiles, the network of the report: what a GPU is for.
tiles_100 = Task(
    id="tiles-100",
    env=partial(TilesEnv, **_HUNDRED),
    network=FullTilesNetwork,
    ppo=_FULL,
    steps=262_144,
    eval_every=32_768,
    eval_episodes=100,
    reference=_reference(0.423, 0.719),
    multi_agent_env=partial(make_multi_agent_env, **_HUNDRED),
    learning_agent=LEARNING_AGENT,
)
