"""The learner's batch of a rollout: its columns by module, and which row is which decision of the environment's side."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns

from parity.capture.moves import Move, fill_rows
from parity.capture.rllib.behaviour import has_values
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.port_rollout import PortRollout
from parity.capture.rllib.sequences import Sequences, is_recurrent, unrolled
from parity.frameworks.rllib.arrays import array, by_entry, duplicate, flat, stack, take
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.results.capture import Decisions


def batch_of(rollout: PortRollout, episodes: list[Any]) -> None:
    """What the learner's connectors make of a rollout's episodes, and which row of it is which decision."""
    chunks = _chunks(rollout, episodes)
    with _observations_given(rollout) as given:
        batch = connected(rollout.learner, episodes)
    for module_id, columns in batch.items():
        if not rollout.learner.should_module_be_updated(module_id):
            continue
        rollout.batches[module_id] = dict(columns)
        if module_id not in rollout.compared():
            continue
        rollout.modules.append(module_id)
        module = rollout.module(module_id)
        if is_recurrent(module):
            sequences = Sequences(columns)
            observations = given.get(module_id, columns[Columns.OBS])
            padded = rollout.padded[module_id] = {**columns, Columns.OBS: observations}
            rollout.seen[module_id] = sequences.by_row(columns)
            rollout.entries[module_id] = sequences.rows(observations)
            on_cpu = tree.map_structure(lambda leaf: leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf, padded)
            rollout.copies[module_id] = unrolled(duplicate(module).cpu(), on_cpu, anew=True)
        else:
            lengths = [len(chunk) for chunk in chunks.get(module_id, [])]
            shown = given.get(module_id)
            rollout.seen[module_id] = {**columns, Columns.OBS: _as_given(shown, columns, lengths)}
            if shown is not None and len(tree.flatten(shown)[0]) == sum(lengths) + len(lengths):
                rollout.appended[module_id] = take(shown, _behind(lengths))
            rollout.entries[module_id] = rollout.seen[module_id][Columns.OBS]
            rollout.copies[module_id] = duplicate(module).cpu()
        arrays = flat(rollout.seen[module_id])
        rollout.of(module_id).fill_batch(by_entry(rollout.entries[module_id]), arrays)
        identify(rollout, module_id, chunks.get(module_id, []), rows=len(arrays[Columns.ACTIONS]))


def connected(learner: Any, episodes: list[Any]) -> dict[str, dict[str, Any]]:
    """Module id -> the columns that a learner's connectors make of episodes."""
    # The pipeline adds a timestep to the episodes that it is given.
    episodes = copy.deepcopy(episodes)
    return learner._learner_connector(
        rl_module=learner.module, batch={}, episodes=episodes, shared_data={}, metrics=learner.metrics
    )


@contextlib.contextmanager
def _observations_given(rollout: PortRollout) -> Iterator[dict[str, Any]]:
    """Module id -> the observations that the learner's connectors first show to its ``compute_values``.

    That call is inside the pipeline, on the very batch that training gets, and RLlib's own ActionMaskingTorchRLModule takes
    the mask out of the observations there.
    """
    given: dict[str, Any] = {}
    with contextlib.ExitStack() as stack_:
        for module_id, facts in rollout.context.modules.items():
            module = rollout.module(module_id)
            if not facts.trained or not has_values(module):
                continue

            def remembering(
                batch: Any, *args: Any, _of: str = module_id, _compute: Any = module.compute_values, **kwargs: Any
            ) -> Any:
                # The containers are copied, not the tensors.
                given.setdefault(_of, tree.map_structure(lambda leaf: leaf, batch[Columns.OBS]))
                return _compute(batch, *args, **kwargs)

            stack_.enter_context(replaced(module, compute_values=remembering))
        yield given


def _as_given(given: Any, columns: dict[str, Any], lengths: list[int]) -> Any:
    """The observations of the rows that are left in the batch; the batch's own where they cannot be told apart.

    Args:
        given: what ``compute_values`` was shown, perhaps with a row for bootstrapping after each chunk; None if nothing.
        lengths: rows of each chunk.
    """
    rows = len(columns[Columns.ACTIONS])
    shown = 0 if given is None else len(tree.flatten(given)[0])
    if shown == rows:
        return given
    if shown == sum(lengths) + len(lengths) and rows == sum(lengths):
        return take(given, np.delete(np.arange(shown), _behind(lengths)))
    return columns[Columns.OBS]


def _behind(lengths: list[int]) -> np.ndarray:
    """Numbers of the rows for bootstrapping that stand behind chunks of these lengths, int64 ``[chunks]``."""
    return np.cumsum([length + 1 for length in lengths]) - 1


def _chunks(rollout: PortRollout, episodes: list[Any]) -> dict[str, list[list[Move]]]:
    """Module id -> for each chunk of an agent's episode, in the learner's order, the environment's moves of its rows."""
    chunks: dict[str, list[list[Move]]] = defaultdict(list)
    used: Counter[str] = Counter()
    played_by: dict[str, Counter[str]] = defaultdict(Counter)
    for episode in episodes:
        env, number = rollout.episode_places[episode.id_]
        # In the order of RLlib's connectors, which is a set's: not that of the episode's agents.
        for agent in episode.agent_ids:
            agent_episode = episode.agent_episodes[agent]
            first, length = agent_episode.t_started, len(agent_episode)
            moves = rollout.recordings[env].moves.get((number, agent), [])
            used[str(agent)] += length
            played_by[str(agent)][str(agent_episode.module_id)] += length
            chunks[agent_episode.module_id].append(moves[first : first + length])
    played: Counter[str] = Counter()
    for recording in rollout.recordings:
        for (_, agent), moves in recording.moves.items():
            played[str(agent)] += len(moves)
    rollout.context.played_by = {agent: dict(counts) for agent, counts in played_by.items()}
    rollout.context.decisions = {a: Decisions(played=n, learned_from=used[a]) for a, n in played.items()}
    return chunks


def identify(rollout: PortRollout, module_id: str, chunks: list[list[Move]], rows: int) -> None:
    """Which row of the batch is which decision. RLlib appends one row per chunk for bootstrapping, with loss_mask False."""
    moves = [move for chunk in chunks for move in chunk]
    if rows not in (len(moves), len(moves) + len(chunks)):
        rollout.context.unplaced[module_id] = {"batch": rows, "decisions": len(moves)}
        return
    own = rollout.of(module_id).rows
    fill_rows(rollout.context, own, chunks, appended=rows > len(moves))
    with rollout.part(f"observations {module_id}"):
        own.observations = by_entry(stack([move.observation for move in moves]))
        # Where the recording ends at an agent's last action, what follows is not known; its own observation stands in.
        ends = [chunk[-1] for chunk in chunks]
        after = stack([end.observation if end.after is None else end.after for end in ends])
        rollout.after[module_id] = flat(after) if isinstance(after, dict | tuple) else array(after)
        _as_connected(rollout, module_id)


def _as_connected(rollout: PortRollout, module_id: str) -> None:
    """Where connectors give the module other entries than the environment shows, it can take nothing but what it got."""
    own, seen = rollout.of(module_id).rows, rollout.seen[module_id][Columns.OBS]
    decisions = by_entry(take(seen, np.flatnonzero(own.valid)))
    shown = own.observations
    if shown.keys() == decisions.keys() and all(shown[name].size == decisions[name].size for name in shown):
        return
    rollout.connected[module_id] = decisions
    ends = int((np.diff(own.chunk) != 0).sum()) + 1
    bootstraps = rollout.appended.get(module_id)
    if bootstraps is None and int((~own.valid).sum()) == ends:
        bootstraps = take(seen, np.flatnonzero(~own.valid))
    if bootstraps is None:
        del rollout.after[module_id]
    else:
        after = by_entry(bootstraps)
        rollout.after[module_id] = after if isinstance(seen, dict | tuple) else after[OBSERVATIONS_KEY]
