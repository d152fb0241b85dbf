"""Plays policies of the old API stack as they would be deployed: in the port's own environment, with its connectors."""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ray.rllib.connectors.agent.synced_filter import SyncedFilterAgentConnector
from ray.rllib.evaluation.episode_v2 import EpisodeV2
from ray.rllib.policy.sample_batch import SampleBatch, concat_samples
from ray.rllib.utils.spaces.space_utils import unbatch
from ray.rllib.utils.typing import ActionConnectorDataType, AgentConnectorDataType

from parity.frameworks.base import EvalRunner
from parity.frameworks.randomness import PolicyGenerator, undisturbed
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env import agent_spaces, has_choice, masked_observation
from parity.frameworks.rllib.env_tap import EnvTap, MaskAudit
from parity.frameworks.rllib.eval_runner import check_learner, evaluated
from parity.frameworks.rllib.mapping import EPISODES
from parity.frameworks.rllib_old_stack.config import under_its_own_name
from parity.frameworks.rllib_old_stack.worker import make_worker
from parity.task.masks import MaskCounts, choices


@dataclasses.dataclass(frozen=True)
class State:
    """What policies play with: weights, and the running statistics of observation filters, by policy."""

    weights: dict[str, Any]
    filters: dict[str, Any]

    @classmethod
    def of(cls, policies: Mapping[str, Any]) -> State:
        return cls(
            weights={policy_id: copy.deepcopy(policy.get_weights()) for policy_id, policy in policies.items()},
            filters={
                policy_id: connector.filter.as_serializable()
                for policy_id, policy in policies.items()
                for connector in _filters(policy)
            },
        )

    def load_into(self, policies: Mapping[str, Any]) -> None:
        for policy_id, weights in self.weights.items():
            policies[policy_id].set_weights(weights)
            for connector in _filters(policies[policy_id]):
                connector.filter.sync(self.filters[policy_id])


def _filters(policy: Any) -> list[Any]:
    return [each for each in policy.agent_connectors.connectors if isinstance(each, SyncedFilterAgentConnector)]


class OldStackEvalRunner(EvalRunner):
    """Plays an environment and an ``EpisodeV2`` in each slot.

    A ``RolloutWorker`` of the port's own configuration supplies environments, connectors and policies. Its sampling loop is
    not used, because it neither seeds single episodes nor lets slots end.

    Args:
        port: what is played.
        slots: episodes side by side.
        state: returns what to play with; called by `seed_policy`.
    """

    def __init__(self, port: Port, slots: int, state: Callable[[], State]) -> None:
        self.slots = slots
        self.counts = MaskCounts()
        self._port, self._state = port, state
        self._generator = PolicyGenerator()
        with under_its_own_name(), undisturbed():
            config = evaluated(port)
            self._worker = make_worker(config, slots)
            envs = self._worker.async_env.get_sub_environments()
            self._audits = [MaskAudit(env.unwrapped, port.mask_key) for env in envs]
            self._envs = [EnvTap(env, audit) for env, audit in zip(envs, self._audits, strict=True)]
            self._agents = agent_spaces(envs[0], "evaluation_config") if config is not port.config else port.agents
            check_learner(port, config, self._agents)
        self._policies = {policy_id: self._worker.policy_map[policy_id] for policy_id in self._worker.policy_map}
        for policy in self._policies.values():
            policy.agent_connectors.in_eval()
            policy.action_connectors.in_eval()
        self.others = tuple(
            agent for agent, (_, space) in self._agents.items() if agent != port.learning_agent and has_choice(space)
        )
        self._playing: list[_Playing] = [_Playing(episode=None)] * slots

    def seed_policy(self, seed: int) -> None:
        self._generator.seed(seed)
        self._state().load_into(self._policies)

    def reset(self, slot: int, seed: int) -> None:
        self._audits[slot].counts = self.counts
        with self._generator.drawing():
            self._begin(slot, *self._envs[slot].reset(seed=seed))

    def _begin(self, slot: int, observations: dict[Any, Any], infos: dict[Any, Any]) -> None:
        for policy in self._policies.values():
            policy.agent_connectors.reset(slot)
        self._playing[slot] = _Playing(self._episode(slot), copy.deepcopy(observations), dict(infos))

    def _episode(self, slot: int) -> EpisodeV2:
        """A new episode, in which the learning policy plays the learning agent if it ever does."""
        for _ in range(EPISODES):
            episode = EpisodeV2(
                slot, self._worker.policy_map, self._worker.policy_mapping_fn, worker=self._worker,
                callbacks=self._worker.callbacks,
            )  # fmt: skip
            if episode.policy_for(self._port.learning_agent) == self._port.learning_module:
                break
        return episode

    def step(self, slots: list[int], deterministic: bool) -> list[tuple[float, bool]]:
        with self._generator.drawing():
            actions = self._act({slot: self._playing[slot] for slot in slots}, explore=not deterministic)
            return [self._step(slot, actions[slot]) for slot in slots]

    def _step(self, slot: int, actions: dict[Any, Any]) -> tuple[float, bool]:
        playing, learner = self._playing[slot], self._port.learning_agent
        observations, rewards, terminateds, truncateds, infos = self._envs[slot].step(actions)
        over = bool(terminateds.get("__all__") or truncateds.get("__all__"))
        playing.decided = playing.decided or learner in actions
        if over and not playing.decided:
            # Over before its first turn: no game of the learning agent's, as SB3's environment does not show it either.
            self._begin(slot, *self._envs[slot].reset())
            return 0.0, False
        left = {agent for agent in observations if terminateds.get(agent) or truncateds.get(agent)}
        playing.observations = {a: copy.deepcopy(seen) for a, seen in observations.items() if a not in left}
        playing.infos, playing.earned = dict(infos), rewards
        playing.episode.step()
        for agent, reward in rewards.items():
            playing.unseen[agent] += reward
        return float(rewards.get(learner, 0.0)), over

    def rewards_of_others(self, slot: int) -> dict[Any, float]:
        return {agent: float(self._playing[slot].earned.get(agent, 0.0)) for agent in self.others}

    def _act(self, playing: dict[int, _Playing], explore: bool) -> dict[int, dict[Any, Any]]:
        """Slot -> agent -> action, of every agent that was shown an observation."""
        by_policy: dict[str, list[Any]] = defaultdict(list)
        for slot, each in playing.items():
            for agent in each.observations:
                by_policy[each.episode.policy_for(agent)].append(self._shown(slot, each, agent))
        actions: dict[int, dict[Any, Any]] = {slot: {} for slot in playing}
        for policy_id, shown in by_policy.items():
            policy = self._policies[policy_id]
            seen, (chosen, states, fetches) = outputs_of(
                policy, shown, explore, episodes=[playing[each.env_id].episode for each in shown]
            )
            for i, (row, action) in enumerate(zip(seen, unbatch(chosen), strict=True)):
                own = [state[i] for state in states], {name: fetched[i] for name, fetched in fetches.items()}
                data = row.env_id, row.agent_id, row.data.raw_dict
                sent, _, _ = policy.action_connectors(ActionConnectorDataType(*data, (action, *own))).output
                policy.agent_connectors.on_policy_output(ActionConnectorDataType(*data, (action, *own)))
                actions[row.env_id][row.agent_id] = sent
        return actions

    def _shown(self, slot: int, playing: _Playing, agent: Any) -> Any:
        columns = {
            SampleBatch.NEXT_OBS: playing.observations[agent],
            SampleBatch.REWARDS: playing.unseen.pop(agent, 0.0),
            SampleBatch.TERMINATEDS: False,
            SampleBatch.TRUNCATEDS: False,
            SampleBatch.INFOS: playing.infos.get(agent, {}),
            SampleBatch.T: playing.episode.length,
            SampleBatch.ENV_ID: slot,
            SampleBatch.AGENT_INDEX: playing.episode.agent_index(agent),
        }
        return AgentConnectorDataType(slot, agent, columns)

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        agent, policy = self._port.learning_agent, self._policies[self._port.learning_module]
        rows = [masked_observation(row, mask) for row, mask in zip(observations, masks, strict=True)]
        with undisturbed():
            self._state().load_into(self._policies)
            # Numbers that no slot has, so that what connectors keep of episodes is not touched.
            places = range(self.slots, self.slots + len(rows))
            shown = [
                AgentConnectorDataType(place, agent, {SampleBatch.NEXT_OBS: row, SampleBatch.INFOS: {}})
                for place, row in zip(places, rows, strict=True)
            ]
            _, (_, _, fetches) = outputs_of(policy, shown, explore=True)
            for place in places:
                policy.agent_connectors.reset(place)
        logits = fetches[SampleBatch.ACTION_DIST_INPUTS].astype(np.float64)
        parts = np.split(logits, np.cumsum(choices(self._port.agents[agent][1]))[:-1], axis=-1)
        odds = [np.exp(part - part.max(axis=-1, keepdims=True)) for part in parts]
        probabilities = np.concatenate([part / part.sum(axis=-1, keepdims=True) for part in odds], axis=-1)
        return fetches[SampleBatch.VF_PREDS].astype(np.float64), probabilities

    def close(self) -> None:
        self._worker.stop()


@dataclasses.dataclass
class _Playing:
    """What is played in one slot."""

    episode: Any
    observations: dict[Any, Any] = dataclasses.field(default_factory=dict)  # of those who act next
    infos: dict[Any, Any] = dataclasses.field(default_factory=dict)
    earned: dict[Any, float] = dataclasses.field(default_factory=dict)  # in the latest step
    unseen: dict[Any, float] = dataclasses.field(
        default_factory=lambda: defaultdict(float)
    )  # since the agent last acted
    decided: bool = False  # whether the learning agent has acted


def outputs_of(policy: Any, shown: list[Any], explore: bool, **arguments: Any) -> tuple[list[Any], Any]:
    """What a policy's connectors make of observations, and the policy of that: ``(actions, states, fetches)``."""
    seen = policy.agent_connectors(shown)
    batch = concat_samples([each.data.sample_batch for each in seen])
    if "state_in_0" in batch:
        batch[SampleBatch.SEQ_LENS] = np.ones(len(seen), dtype=np.int32)
    return seen, policy.compute_actions_from_input_dict(
        batch, explore=explore, timestep=policy.global_timestep, **arguments
    )
