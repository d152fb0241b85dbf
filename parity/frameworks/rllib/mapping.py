"""Which module plays which agent: a ``policy_mapping_fn`` may choose anew in each episode, as in self-play."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from parity.errors import CannotStart, in_short

# A module that plays in every tenth episode is not missed, and shares are told to a tenth.
EPISODES = 256


def modules_of(config: PPOConfig, agent: Any) -> list[str]:
    """The modules that play an agent in some episode, the most frequent first, by name where they play about as often.

    Raises:
        CannotStart: ``policy_mapping_fn`` raises.
    """
    try:
        counts = Counter(_module_for(config, agent) for _ in range(EPISODES))
    except Exception as error:
        raise CannotStart(
            f"rllib_config: policy_mapping_fn of agent {agent}, in a new MultiAgentEpisode, raised {in_short(error)}."
        ) from error
    return sorted(counts, key=lambda module: (-round(4 * counts[module] / EPISODES), str(module)))


def _module_for(config: PPOConfig, agent: Any) -> Any:
    if config.enable_env_runner_and_connector_v2:
        return config.policy_mapping_fn(agent, MultiAgentEpisode())
    from ray.rllib.evaluation.episode_v2 import EpisodeV2

    # A function of the old API stack takes an env runner, too, which is not there while spaces are looked up, either.
    return config.policy_mapping_fn(agent, EpisodeV2("", {}, config.policy_mapping_fn), worker=None)


def learning_module(config: PPOConfig, agent: Any) -> str:
    """The module that learns to play an agent: of several that play it in turn, one that is trained."""
    modules = modules_of(config, agent)
    return next((module for module in modules if is_trained(config, module)), modules[0])


def is_trained(config: PPOConfig, module: str) -> bool:
    """Whether the configuration trains a module."""
    asked = config.policies_to_train
    return asked is None or bool(asked(module, None) if callable(asked) else module in asked)


def episode_played_by(
    config: PPOConfig, agent: Any, module: str, make: Callable[[], MultiAgentEpisode] | None = None
) -> MultiAgentEpisode:
    """A new episode in which ``module`` plays ``agent``; where it never does, any.

    ``make``: makes one, with the configuration's ``policy_mapping_fn``.
    """
    make = make or (lambda: MultiAgentEpisode(agent_to_module_mapping_fn=config.policy_mapping_fn))
    episode = make()
    for _ in range(EPISODES):
        if episode.module_for(agent) == module:
            break
        episode = make()
    return episode
