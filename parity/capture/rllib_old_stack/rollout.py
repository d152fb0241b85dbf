"""Collects from a port on the old API stack: one small rollout, the batch of it with GAE, one short update.

RLlib's ``RolloutWorker`` and its policies do the work, in this process and without a Ray cluster; the environment's side is
written down as for the new stack.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns
from ray.rllib.execution.rollout_ops import standardize_fields
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch, concat_samples

from parity.capture.moves import Move
from parity.capture.rllib.batch import identify
from parity.capture.rllib.behaviour import PHASES
from parity.capture.rllib.port_rollout import PortRollout
from parity.capture.rllib.rollout import (
    ENV_STEPS,
    SUB_ENVIRONMENTS,
    Initial,
    begin,
    by_themselves,
    choices_of,
    mask_key_of,
    note_beginning,
    sample,
)
from parity.capture.rllib.stress import stress
from parity.capture.rllib_old_stack.policy_module import PolicyLearner, tensors
from parity.capture.rllib_old_stack.update import watched_update
from parity.errors import NotSupported
from parity.frameworks.randomness import seeded
from parity.frameworks.rllib.arrays import by_entry, duplicate, flat, named_parameters, parameters
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env_tap import tap_sub_environments
from parity.frameworks.rllib_old_stack.worker import make_worker
from parity.results.capture import Capture, Decisions, ModuleFacts

ADVANTAGES = "advantages"


def roll_out(capture: Capture, port: Port, initial: Initial) -> PortRollout:
    """Opens a port and collects its numbers; arguments as of `parity.capture.rllib.rollout.roll_out`."""
    rollout = begin(capture, port)
    with seeded(0):
        with rollout.part("build"):
            _build(rollout, initial)
        if rollout.learner is None:
            return rollout
        pieces: list[Any] = []
        with rollout.part("sample"):
            pieces = sample(
                rollout, lambda: [rollout.runner.sample().as_multi_agent()], lambda piece: piece.env_steps()
            )
        if pieces:
            with rollout.part("batch"):
                _batch(rollout, concat_samples(pieces))
        by_themselves(rollout)
        if rollout.batches:
            with rollout.part("update"):
                watched_update(capture, rollout.runner, rollout.learner, rollout.batches)
                stress(capture, rollout.learner, rollout.batches)
            for module_id in rollout.frozen():
                capture.step[module_id].last = parameters(rollout.module(module_id))
    return rollout


def _build(rollout: PortRollout, initial: Initial) -> None:
    config = rollout.port.config.copy(copy_frozen=False)
    envs = min(SUB_ENVIRONMENTS, config.num_envs_per_env_runner)
    # As on the new stack: at least two samples, of a prime number of steps.
    length = ENV_STEPS // (2 * envs) + 5
    config.rollout_fragment_length, config.train_batch_size = length, length * envs
    config._train_batch_size_per_learner = None
    config.minibatch_size = min(config.minibatch_size, length * envs)
    worker = rollout.runner = make_worker(config, envs)
    recurrent = [str(name) for name in worker.policy_map if worker.policy_map[name].is_recurrent()]
    if recurrent:
        raise NotSupported(
            f"--frameworks rllib-old-stack: policy {recurrent[0]} is recurrent, of which the ladder of the old API stack "
            "compares nothing."
        )
    given = worker.callbacks.on_episode_start

    def placing(*, episode: Any, env_index: int, **event: Any) -> None:
        number = len(rollout.recordings[env_index].seeds) - 1
        rollout.episode_places[episode.episode_id] = (env_index, number)
        rollout.agents_by_index[episode.episode_id] = episode._agent_to_index
        given(episode=episode, env_index=env_index, **event)

    worker.callbacks.on_episode_start = placing
    tap_sub_environments(worker, rollout.read)
    learner = rollout.learner = PolicyLearner(worker)
    rollout.context.modules = {module_id: _facts(rollout, module_id) for module_id in learner.module}
    note_beginning(rollout, initial, type(learner.policies[rollout.port.learning_module]).__qualname__)


def _facts(rollout: PortRollout, module_id: str) -> ModuleFacts:
    module = rollout.module(module_id)
    mask_key = mask_key_of(rollout.port, module)
    name = type(rollout.learner.policies[module_id].model).__name__
    return ModuleFacts(
        class_name=name,
        runner_class=name,
        trained=rollout.learner.should_module_be_updated(module_id),
        parameters={name: list(p.shape) for name, p in named_parameters(module).items()},
        phases=dict.fromkeys(PHASES, "forward"),
        frozen=[name for name, p in named_parameters(module).items() if not p.requires_grad],
        choices=choices_of(module.action_space),
        mask_key=mask_key,
        mask_in_space=mask_key in getattr(module.observation_space, "spaces", {}),
    )


def _batch(rollout: PortRollout, batch: MultiAgentBatch) -> None:
    """What ``PPO.training_step`` makes of the samples, and which row of it is which decision."""
    chunks = _chunks(rollout, batch)
    batch = standardize_fields(batch, [ADVANTAGES])
    for module_id, columns in batch.policy_batches.items():
        if not rollout.learner.should_module_be_updated(module_id):
            continue
        rollout.batches[module_id] = tensors(columns)
        if module_id not in rollout.compared():
            continue
        rollout.modules.append(module_id)
        module = rollout.module(module_id)
        shown = module.shown(rollout.batches[module_id][Columns.OBS])
        rollout.entries[module_id] = shown
        rollout.seen[module_id] = {**rollout.batches[module_id], Columns.OBS: shown}
        rollout.copies[module_id] = duplicate(module).cpu()
        arrays = flat(rollout.seen[module_id])
        rollout.of(module_id).fill_batch(by_entry(shown), arrays)
        identify(rollout, module_id, chunks[module_id], rows=len(arrays[Columns.ACTIONS]))


def _chunks(rollout: PortRollout, batch: MultiAgentBatch) -> dict[str, list[list[Move]]]:
    """Module id -> for each trajectory that GAE was computed for, in the batch's order, the environment's moves of its rows."""
    chunks: dict[str, list[list[Move]]] = defaultdict(list)
    used: Counter[tuple[int, int, Any]] = Counter()
    played_by: dict[str, Counter[str]] = defaultdict(Counter)
    for module_id, columns in batch.policy_batches.items():
        keys = np.stack(
            [columns[name] for name in (SampleBatch.EPS_ID, SampleBatch.AGENT_INDEX, SampleBatch.UNROLL_ID)]
        )
        starts = np.flatnonzero(np.append(True, (np.diff(keys, axis=1) != 0).any(axis=0)))
        for start, end in zip(starts, [*starts[1:], keys.shape[1]], strict=True):
            episode_id, index = int(keys[0, start]), int(keys[1, start])
            env, number = rollout.episode_places[episode_id]
            agent = next(agent for agent, at in rollout.agents_by_index[episode_id].items() if at == index)
            first = used[env, number, agent]
            used[env, number, agent] += int(end - start)
            played_by[str(agent)][module_id] += int(end - start)
            chunks[module_id].append(rollout.recordings[env].moves[number, agent][first : first + int(end - start)])
    played: Counter[str] = Counter()
    # Unfinished episodes are not thrown away: they are handed over when they are complete.
    waits = rollout.runner.config.batch_mode == "complete_episodes"
    handed_over = {(env, number) for env, number, _ in used}
    for env, recording in enumerate(rollout.recordings):
        for (number, agent), moves in recording.moves.items():
            if not waits or (env, number) in handed_over:
                played[str(agent)] += len(moves)
    learned = {str(agent): sum(n for (_, _, each), n in used.items() if each == agent) for _, _, agent in used}
    rollout.context.played_by = {agent: dict(counts) for agent, counts in played_by.items()}
    rollout.context.decisions = {a: Decisions(played=n, learned_from=learned.get(a, 0)) for a, n in played.items()}
    return chunks
