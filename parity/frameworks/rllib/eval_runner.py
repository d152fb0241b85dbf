"""Plays an RLlib policy as it would be deployed: in the port's own environment, with its connectors and modules.

``config.evaluation(evaluation_config=...)`` is respected: it may name another environment, and other opponents by
``policy_mapping_fn``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core import COMPONENT_ENV_TO_MODULE_CONNECTOR
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from parity.errors import CannotStart, in_short
from parity.frameworks.base import EvalRunner
from parity.frameworks.randomness import PolicyGenerator, undisturbed
from parity.frameworks.rllib.arrays import by_agent
from parity.frameworks.rllib.config import Port, make_env
from parity.frameworks.rllib.env import agent_spaces, has_choice, masked_observation
from parity.frameworks.rllib.env_tap import EnvTap, MaskAudit
from parity.frameworks.rllib.mapping import episode_played_by, modules_of
from parity.task.masks import MaskCounts, choices


class RllibEvalRunner(EvalRunner):
    """Plays an environment and a ``MultiAgentEpisode`` in each slot.

    An env runner of the port's own configuration supplies environments, connectors and modules. Its sampling loop is not
    used, because it neither seeds single episodes nor lets slots end.

    Args:
        port: what is played.
        slots: episodes side by side.
        state: returns the env runner's state to play with (weights, connector states); called by `seed_policy`.
    """

    def __init__(self, port: Port, slots: int, state: Callable[[], dict[str, Any]]) -> None:
        self.slots = slots
        self.counts = MaskCounts()
        self._port, self._state = port, state
        self._config = evaluated(port)
        self._generator = PolicyGenerator()
        with undisturbed():
            self._runner = make_env_runner(self._config, slots)
        envs = [env.unwrapped for env in self._runner.env.envs]
        self._audits = [MaskAudit(env, port.mask_key) for env in envs]
        self._envs = [EnvTap(env, audit) for env, audit in zip(envs, self._audits, strict=True)]
        self._agents = agent_spaces(envs[0], "evaluation_config") if self._config is not port.config else port.agents
        check_learner(port, self._config, self._agents)
        self.others = tuple(
            agent for agent, (_, space) in self._agents.items() if agent != port.learning_agent and has_choice(space)
        )
        self._earned: list[dict[Any, float]] = [{} for _ in range(slots)]
        self._episodes: list[MultiAgentEpisode | None] = [None] * slots

    def seed_policy(self, seed: int) -> None:
        self._generator.seed(seed)
        self._load_state()

    def _load_state(self) -> None:
        # A copy: the state may hold objects that the connectors of training go on changing.
        self._runner.set_state(copy.deepcopy(self._state()))

    def connectors_from(self, checkpoint: Path) -> dict[str, Any]:
        """The state of the env-to-module connectors in an env runner's checkpoint."""
        connectors: Any = self._runner._env_to_module
        connectors.restore_from_path(str((checkpoint / COMPONENT_ENV_TO_MODULE_CONNECTOR).resolve()))
        return connectors.get_state()

    def reset(self, slot: int, seed: int) -> None:
        self._audits[slot].counts = self.counts
        with self._generator.drawing():
            observations, infos = self._envs[slot].reset(seed=seed)
            # A policy_mapping_fn may draw, too.
            self._episodes[slot] = self._episode(observations, infos)

    def _episode(self, observations: dict[Any, Any], infos: dict[Any, Any]) -> MultiAgentEpisode:
        """A new episode that starts with these observations."""
        episode = episode_played_by(
            self._config,
            self._port.learning_agent,
            self._port.learning_module,
            lambda: MultiAgentEpisode(
                observation_space={agent: space for agent, (space, _) in self._agents.items()},
                action_space={agent: space for agent, (_, space) in self._agents.items()},
                agent_to_module_mapping_fn=self._config.policy_mapping_fn,
            ),
        )
        # Copies, as RLlib's own vector environment makes them: an environment may return the same arrays at every step.
        episode.add_env_reset(observations=copy.deepcopy(observations), infos=infos)
        return episode

    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        episodes = [self._episodes[slot] for slot in slots]
        with self._generator.drawing():
            return self._step(slots, episodes, explore=not deterministic)

    def _step(self, slots: list[int], episodes: list[Any], explore: bool) -> list[tuple[float, bool]]:
        columns = self._act(episodes, explore)
        actions = columns.pop(Columns.ACTIONS)
        actions_for_env = columns.pop(Columns.ACTIONS_FOR_ENV, actions)
        outcomes = []
        for i, (slot, episode) in enumerate(zip(slots, episodes, strict=True)):
            observations, rewards, terminateds, truncateds, infos = self._envs[slot].step(actions_for_env[i])
            episode.add_env_step(
                copy.deepcopy(observations), actions[i], rewards, infos, terminateds=terminateds, truncateds=truncateds,
                extra_model_outputs=by_agent(columns, i),
            )  # fmt: skip
            if episode.is_done and not _decided(episode, self._port.learning_agent):
                # Over before its first turn: no game of the learning agent's, as SB3's environment does not show it either.
                self._earned[slot] = {}
                self._episodes[slot] = self._episode(*self._envs[slot].reset())
                outcomes.append((0.0, False))
                continue
            self._earned[slot] = rewards
            outcomes.append((float(rewards.get(self._port.learning_agent, 0.0)), episode.is_done))
        return outcomes

    def rewards_of_others(self, slot: int) -> dict[Any, float]:
        return {agent: float(self._earned[slot].get(agent, 0.0)) for agent in self.others}

    def _act(self, episodes: list[Any], explore: bool) -> dict[str, Any]:
        """The modules' outputs for the episodes' last observations: column -> one dict for each episode, agent -> value."""
        module = self._runner.module
        given: dict[str, Any] = {"rl_module": module, "episodes": episodes, "explore": explore, "metrics": None}
        shared: dict[str, Any] = {}
        batch = self._runner._env_to_module(batch={}, shared_data=shared, **given)
        forward = module.forward_exploration if explore else module.forward_inference
        return self._runner._module_to_env(batch=forward(batch), shared_data=shared, **given)

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        agent, module_id = self._port.learning_agent, self._port.learning_module
        rows = [masked_observation(row, mask) for row, mask in zip(observations, masks, strict=True)]
        module: Any = self._runner.module
        with undisturbed(), torch.no_grad():
            self._load_state()
            batch = self._runner._env_to_module(
                rl_module=module,
                batch={},
                episodes=[self._episode({agent: row}, {}) for row in rows],
                explore=True,
                shared_data={},
                metrics=None,
            )
            out = module.forward_exploration(batch)[module_id]
            own = module[module_id].unwrapped()
            if Columns.ACTION_DIST_INPUTS not in out or not hasattr(own, "compute_values"):
                raise NotImplementedError(f"{type(own).__name__} gives no logits, or no values")
            values = own.compute_values(batch[module_id])
        sizes = choices(self._port.agents[agent][1])
        parts = [logits.softmax(dim=-1) for logits in out[Columns.ACTION_DIST_INPUTS].split(sizes, dim=-1)]
        return values.flatten().double().cpu().numpy(), torch.cat(parts, dim=-1).double().flatten(0, -2).cpu().numpy()

    def close(self) -> None:
        self._runner.stop()


def _decided(episode: MultiAgentEpisode, agent: Any) -> bool:
    """Whether an agent took an action in an episode."""
    own = episode.agent_episodes.get(agent)
    return own is not None and len(own) > 0


def evaluated(port: Port) -> PPOConfig:
    """The port's configuration with its own ``evaluation_config`` in it, or as it is where it has none.

    Raises:
        CannotStart: RLlib refuses the overrides.
    """
    if not port.config.evaluation_config:
        return port.config
    try:
        config = port.config.copy(copy_frozen=False).get_evaluation_config_object()
    except Exception as error:
        raise CannotStart(f"rllib_config: evaluation_config: {in_short(error)}.") from error
    return config.copy(copy_frozen=False)


def check_learner(port: Port, config: PPOConfig, agents: dict[Any, Any]) -> None:
    """Checks that the learning agent plays in the evaluated environment, by the module that was trained."""
    if port.learning_agent not in agents:
        raise CannotStart(
            f"rllib_config: the environment of evaluation_config has no agent {port.learning_agent}, whose return is "
            f"compared with SB3's; it has {', '.join(map(str, agents))}."
        )
    modules = modules_of(config, port.learning_agent)
    if port.learning_module not in modules:
        raise CannotStart(
            f"rllib_config: evaluation_config lets module {modules[0]} play agent {port.learning_agent}, which is trained as "
            f"{port.learning_module}: map the other agents only."
        )


def make_played_env(config: PPOConfig) -> Any:
    """An environment as env runners play it, changed by the configuration's ``on_environment_created`` callbacks if any."""
    classes = config.callbacks_class if isinstance(config.callbacks_class, list | tuple) else [config.callbacks_class]
    created = RLlibCallback.on_environment_created
    if config.callbacks_on_environment_created is None and all(
        getattr(each, "on_environment_created", created) is created for each in classes
    ):
        return make_env(config)
    return make_env_runner(config, envs=1).env.envs[0].unwrapped


def make_env_runner(config: PPOConfig, envs: int | None = None) -> MultiAgentEnvRunner:
    """An env runner of this configuration in this process, without Ray; ``envs``: its number of sub-environments."""
    config = config.copy(copy_frozen=False)
    config.num_env_runners = 0
    if envs is not None:
        config.num_envs_per_env_runner = envs
    runner_class = config.env_runner_cls or MultiAgentEnvRunner
    return runner_class(config=config, worker_index=0)
