"""An RLlib env runner whose rollouts are those of Stable-Baselines3's ``DummyVecEnv``, step for step.

RLlib 2.60's own (``rllib/env/multi_agent_env_runner.py``) resets a finished sub-environment one tick later and does not
count that tick, so that ``sample()`` returns between N and N + num_envs - 1 steps, unevenly over the sub-environments.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.inference_only_api import InferenceOnlyAPI
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils.metrics import (
    ENV_TO_MODULE_CONNECTOR,
    MODULE_TO_ENV_CONNECTOR,
    NUM_AGENT_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_EPISODES,
    NUM_MODULE_STEPS_SAMPLED,
    RLMODULE_INFERENCE_TIMER,
    WEIGHTS_SEQ_NO,
)
from ray.rllib.utils.spaces.space_utils import batch as batch_items
from ray.rllib.utils.torch_utils import convert_to_torch_tensor

from parity.frameworks.rllib.arrays import by_agent, probability
from parity.frameworks.rllib.exact.learner import ROLLOUT_ORDER
from parity.frameworks.rllib.exact.returns import containers, may_be_trained, values_of
from parity.frameworks.sampling import draw
from parity.task.masks import choices

Uniforms = Callable[[int, int], np.ndarray]
"""``(rows, sub_actions)`` -> float64 ``[rows, sub_actions]`` in [0, 1)."""


class ExactEnvRunner(MultiAgentEnvRunner):
    """Samples ``rollout_fragment_length`` steps from every sub-environment, as ``MaskablePPO.collect_rollouts`` does.

    - A finished sub-environment is reset in the same step; its last observation goes into its episode.
    - Sub-environment ``i`` is seeded once, with ``seed + i`` (counted over all env runners), and keeps its generator.
    - Episodes come back sub-environment by sub-environment, in time order, which is the order of SB3's flattened buffer.
    - Each step carries V of its observation (``vf_preds``) from the batch that the action was sampled on, and the last
      step of a chunk V of the observation after it (``values_bootstrapped``): from the batch of all sub-environments
      where the rollout was cut, from a batch of one where the episode was truncated, as in SB3. Modules that are not
      trained, have no `ValueFunctionAPI`, leave their critic off the env runner, or take more than ``obs`` carry none;
      the learner then computes values itself.
    - An environment that reports a truncation for each agent and for ``"__all__"`` is truncated; RLlib's episode would
      call it terminated (``rllib/env/multi_agent_episode.py``, ``add_env_step``).

    Simultaneous and turn-based environments both work; a step is an environment step. Evaluation by episodes is RLlib's.
    An exception of the environment is not caught, whatever ``restart_failed_sub_environments`` says. The order of rows
    within one step is only defined where no two agents of an environment share a module.

    Attributes:
        uniforms: for a module id, the source that its actions are drawn from, by inverse CDF (its action distribution
            must be categorical): one call per step with the number of rows. Other modules sample as ever.

    Raises:
        ValueError: the configuration counts agent steps or complete episodes.
    """

    def __init__(self, config: AlgorithmConfig, **kwargs: Any) -> None:
        if not config.in_evaluation and (
            config.batch_mode != "truncate_episodes" or config.count_steps_by != "env_steps"
        ):
            raise ValueError(
                'ExactEnvRunner collects a fixed number of environment steps: set batch_mode="truncate_episodes" and '
                'count_steps_by="env_steps".'
            )
        self.uniforms: dict[str, Uniforms] = {}
        self._chunks = 0
        super().__init__(config=config, **kwargs)
        if self._seed is not None and self.worker_index:
            # RLlib's seed + worker_index gives sub-environment 1 of one worker the seed of sub-environment 0 of the next.
            self._seed += (self.worker_index - 1) * self.num_envs - self.worker_index

    def make_module(self) -> None:
        super().make_module()
        if self.module is not None:
            self.module.foreach_module(lambda _, module: module.eval() if isinstance(module, torch.nn.Module) else None)

    def _sample(self, *, num_timesteps: int | None = None, explore: bool, **how: Any) -> list[MultiAgentEpisode]:
        if num_timesteps is None or how.get("random_actions"):
            episodes = super()._sample(num_timesteps=num_timesteps, explore=explore, **how)
            # RLlib's loop may leave sub-environments that wait for their reset.
            self._needs_initial_reset = True
            return episodes
        if how.get("force_reset") or self._needs_initial_reset:
            self._reset_envs_and_episodes(explore)

        chunks: list[list[MultiAgentEpisode]] = [[] for _ in range(self.num_envs)]
        counts: Counter[Any] = Counter()
        for step in range(-(-num_timesteps // self.num_envs)):
            self._step(explore, step * self.num_envs, chunks, counts)
        self._cut(chunks)
        log_counts(self, counts)
        return [chunk for of_env in chunks for chunk in of_env]

    def _step(self, explore: bool, sampled: int, chunks: list[list[MultiAgentEpisode]], counts: Counter[Any]) -> None:
        """One step of every sub-environment, each reset at once where it ended."""
        to_env = self._act(explore, sampled)
        actions = to_env.pop(Columns.ACTIONS, [{} for _ in range(self.num_envs)])
        actions_for_env = to_env.pop(Columns.ACTIONS_FOR_ENV, actions)
        for index, env in enumerate(self.env.envs):
            episode = self._ongoing_episodes[index]
            observations, rewards, terminateds, truncateds, infos = env.step(actions_for_env[index])
            terminateds, truncateds = ends(terminateds, truncateds)
            extra = by_agent(to_env, index)
            for columns in extra.values():
                columns[WEIGHTS_SEQ_NO] = self._weights_seq_no
            episode.add_env_step(
                # A copy: an environment may return the same arrays at every step.
                observations=copy.deepcopy(observations),
                actions=actions[index],
                rewards=rewards,
                infos=infos,
                terminateds=terminateds,
                truncateds=truncateds,
                extra_model_outputs=extra,
            )
            counts[NUM_ENV_STEPS_SAMPLED] += 1
            for agent_id in observations:
                counts[NUM_AGENT_STEPS_SAMPLED, str(agent_id)] += 1
                counts[NUM_MODULE_STEPS_SAMPLED, episode.module_for(agent_id)] += 1
            self._make_on_episode_callback("on_episode_step", index, self._ongoing_episodes)
            if episode.is_done:
                counts[NUM_EPISODES] += 1
                self._restart(index, env, chunks[index])
        self._cached_to_module = self._to_module(self._ongoing_episodes, explore)

    def _act(self, explore: bool, sampled: int) -> dict[str, Any]:
        """The modules' outputs for the current observations: column -> one dict for each sub-environment, agent -> value."""
        to_module = self._cached_to_module
        if not to_module:
            return {}
        with self.metrics.log_time(RLMODULE_INFERENCE_TIMER), torch.no_grad():
            given = containers(to_module)
            outputs = (
                self.module.forward_exploration(given, t=self.num_env_steps_sampled_lifetime + sampled)
                if explore
                else self.module.forward_inference(given)
            )
            for module_id, output in outputs.items():
                if self._gives_values(module_id, to_module[module_id]):
                    if not self._has_own_values(module_id, output):
                        output[Columns.VF_PREDS] = values_of(self.module[module_id], to_module[module_id])
                    output[Columns.VALUES_BOOTSTRAPPED] = torch.zeros_like(output[Columns.VF_PREDS])
                if explore and module_id in self.uniforms:
                    self._draw(module_id, output)
        return self._run(self._module_to_env, MODULE_TO_ENV_CONNECTOR, outputs, self._ongoing_episodes, explore)

    def _draw(self, module_id: str, output: dict[str, Any]) -> None:
        """Draws a module's actions from its source of uniforms."""
        inputs = output[Columns.ACTION_DIST_INPUTS]
        module = self.module[module_id]
        distribution = module.get_exploration_action_dist_cls().from_logits(inputs)
        sizes = choices(module.action_space)
        uniforms = torch.as_tensor(self.uniforms[module_id](len(inputs), len(sizes)), device=inputs.device)
        output[Columns.ACTIONS] = draw(probability(distribution), uniforms, sizes)
        output[Columns.ACTION_LOGP] = distribution.logp(output[Columns.ACTIONS])

    def _gives_values(self, module_id: str, columns: dict[str, Any]) -> bool:
        """Whether the steps of this module carry values; the class docstring says which modules do."""
        module = self.module[module_id]
        without_critic = isinstance(module, InferenceOnlyAPI) and module.inference_only
        if not isinstance(module, ValueFunctionAPI) or without_critic or set(columns) != {Columns.OBS}:
            return False
        return may_be_trained(self.config, module_id)

    def _has_own_values(self, module_id: str, output: dict[str, Any]) -> bool:
        """Whether sampling gave the values; of a brought module's ``vf_preds`` RLlib reads nothing, whatever they are."""
        return bool((self.module[module_id].model_config or {}).get("vf_preds")) and Columns.VF_PREDS in output

    def _to_module(self, episodes: list[MultiAgentEpisode], explore: bool) -> Any:
        """Runs the env-to-module pipeline, whose connectors may also rewrite the episodes' last observations."""
        return self._run(self._env_to_module, ENV_TO_MODULE_CONNECTOR, {}, episodes, explore)

    def _run(self, pipeline: Any, name: str, batch: Any, episodes: list[MultiAgentEpisode], explore: bool) -> Any:
        return pipeline(
            rl_module=self.module,
            batch=batch,
            episodes=episodes,
            explore=explore,
            shared_data=self._shared_data,
            metrics=self.metrics,
            metrics_prefix_key=(name,),
        )

    def _restart(self, index: int, env: Any, chunks: list[MultiAgentEpisode]) -> None:
        """Hands over an episode that has ended and starts the next one."""
        ended = self._ongoing_episodes[index]
        self._make_on_episode_callback("on_episode_end", index, self._ongoing_episodes)
        self._to_module([ended], explore=False)
        self._done_episodes_for_metrics.append(ended)
        self._hand_over(ended, index, chunks, {})
        self._new_episode(index, self._ongoing_episodes)
        observations, infos = env.reset()
        self._ongoing_episodes[index].add_env_reset(observations=copy.deepcopy(observations), infos=infos)
        self._make_on_episode_callback("on_episode_start", index, self._ongoing_episodes)

    def _cut(self, chunks: list[list[MultiAgentEpisode]]) -> None:
        """Ends the rollout: hands over the ongoing episodes' steps so far and continues each episode in a new chunk."""
        bootstrap = self._values_of_current_observations()
        for index, episode in enumerate(self._ongoing_episodes):
            if len(episode) == 0:
                continue
            successor = episode.cut(len_lookback_buffer=self.config.episode_lookback_horizon)
            episode.validate()
            self._ongoing_episodes_for_metrics[episode.id_].append(episode)
            self._hand_over(episode, index, chunks[index], bootstrap)
            self._ongoing_episodes[index] = successor

    def _hand_over(
        self, episode: MultiAgentEpisode, index: int, chunks: list[MultiAgentEpisode], bootstrap: dict[Any, np.float32]
    ) -> None:
        """Completes a chunk of an episode and adds it to ``chunks``, those of its sub-environment in this rollout."""
        self._add_bootstrap_values(episode, bootstrap)
        self._prune_zero_len_sa_episodes(episode)
        self._chunks += 1
        episode.custom_data[ROLLOUT_ORDER] = (self.worker_index or 0, index, self._chunks)
        chunks.append(episode.to_numpy() if self.episodes_to_numpy else episode)

    def _values_of_current_observations(self) -> dict[tuple[str, Any], np.float32]:
        """V of the observations that the next actions will be chosen on, by episode id and agent."""
        values: dict[tuple[str, Any], np.float32] = {}
        rows = self._shared_data.get("memorized_map_structure", {})
        for module_id, columns in (self._cached_to_module or {}).items():
            if self._gives_values(module_id, columns):
                predicted = values_of(self.module[module_id], containers(columns)).cpu().numpy()
                values.update(zip(rows[module_id], predicted, strict=True))
        return values

    def _add_bootstrap_values(self, episode: MultiAgentEpisode, known: dict[tuple[str, Any], np.float32]) -> None:
        for agent_id, agent_episode in episode.agent_episodes.items():
            wanted = Columns.VALUES_BOOTSTRAPPED in agent_episode.extra_model_outputs
            if not wanted or len(agent_episode) == 0 or agent_episode.is_terminated:
                continue
            value = known.get((episode.id_, agent_id))
            if value is None:
                # The episode was truncated, or (turn-based) the agent has acted on its last observation and has no next one.
                value = self._value_of(agent_episode.get_observations(-1), agent_episode.module_id)
            agent_episode.set_extra_model_outputs(key=Columns.VALUES_BOOTSTRAPPED, new_data=value, at_indices=-1)

    def _value_of(self, observation: Any, module_id: str) -> np.float32:
        batch = batch_items([observation], individual_items_already_have_batch_dim="auto")
        columns = {Columns.OBS: convert_to_torch_tensor(batch, device=self._device)}
        return values_of(self.module[module_id], columns).cpu().numpy()[0]


def log_counts(runner: MultiAgentEnvRunner, counts: Counter[Any]) -> None:
    """Logs RLlib's step counters, once per rollout instead of several times per step."""
    for key, count in counts.items():
        name, *rest = key if isinstance(key, tuple) else (key,)
        runner.metrics.log_value((name, *rest), count, reduce="sum")
        # The name of RLlib's counter over all rollouts (rllib/utils/metrics/__init__.py, ray 2.60.0).
        total = (f"{name}_lifetime", *rest)
        runner.metrics.log_value(total, count, reduce="lifetime_sum", with_throughput=name == NUM_ENV_STEPS_SAMPLED)
    runner._log_env_steps(metric=runner._metrics_num_env_steps_sampled, num_steps=counts[NUM_ENV_STEPS_SAMPLED])


def ends(terminateds: dict[Any, bool], truncateds: dict[Any, bool]) -> tuple[dict[Any, bool], dict[Any, bool]]:
    """Puts a truncation of all agents under ``"__all__"`` alone, where RLlib's episode does not take it for a termination."""
    if truncateds.get("__all__") and not terminateds.get("__all__"):
        return terminateds, {"__all__": True}
    return terminateds, truncateds
