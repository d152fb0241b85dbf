"""RLlib's minibatches as rows of the train batch, which is neither shuffled nor cut nor put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.minibatch_utils import MiniBatchCyclicIterator

from parity.frameworks.rllib.arrays import mapped


@dataclasses.dataclass(frozen=True)
class RowMinibatches:
    """The minibatches of RLlib's ``MiniBatchCyclicIterator`` (``rllib/utils/minibatch_utils.py``, ray 2.60.0).

    The same rows in the same order, from the same draws of NumPy's global generator: where RLlib shuffles the batch, the
    order of its rows is permuted here, and each minibatch is gathered from it at once.

    Attributes:
        fewer: modules whose minibatches come without the rows that their loss does not count, as many as RLlib's otherwise.
            The last minibatch has them: RLlib logs of it what all its rows explain.
    """

    given: MiniBatchCyclicIterator
    fewer: Container[str] = ()

    @property
    def batch(self) -> MultiAgentBatch:
        return self.given._batch

    def __iter__(self) -> Iterator[MultiAgentBatch]:
        following = None
        for chosen in self.chosen():
            if following is not None:
                yield self.minibatch(following, is_last=False)
            following = chosen
        if following is not None:
            yield self.minibatch(following, is_last=True)

    def chosen(self) -> Iterator[dict[str, torch.Tensor]]:
        """By module, the rows of each minibatch: int64 ``[minibatch_size]``."""
        given = self.given
        batches = given._batch.policy_batches
        orders = {module_id: torch.arange(len(batch)) for module_id, batch in batches.items()}
        starts, epochs = dict.fromkeys(batches, 0), dict.fromkeys(batches, 0)
        dealt, total = 0, given._num_total_minibatches
        while dealt < total if total > 0 else min(epochs.values()) < given._num_epochs:
            chosen = {}
            for module_id, batch in batches.items():
                start, missing, parts = starts[module_id], given._minibatch_size, []
                while start + missing >= len(batch):
                    parts.append(orders[module_id][start:])
                    missing -= len(parts[-1])
                    start = 0
                    epochs[module_id] += 1
                    if given._shuffle_batch_per_epoch:
                        orders[module_id] = orders[module_id][torch.as_tensor(np.random.permutation(len(batch)))]
                parts.append(orders[module_id][start : start + missing])
                starts[module_id] = start + missing
                chosen[module_id] = torch.cat(parts)
            dealt += 1
            yield chosen

    def minibatch(self, chosen: dict[str, torch.Tensor], is_last: bool) -> MultiAgentBatch:
        minibatch = {}
        for module_id, rows in chosen.items():
            batch = self.batch.policy_batches[module_id]
            there = rows.to(_device(batch))
            minibatch[module_id] = _minibatch(dict(batch), there, module_id in self.fewer and not is_last)
        return MultiAgentBatch(minibatch, len(self.batch))


def by_rows(iterator: Any, fewer: Container[str] = ()) -> Any:
    """The same minibatches as `RowMinibatches`, where they are plain rows of tensors on one device; else ``iterator``."""
    if type(iterator) is not MiniBatchCyclicIterator or not iterator._minibatch_size:
        return iterator
    batches = iterator._batch.policy_batches.values()
    plain = all(type(batch) is SampleBatch and _is_plain(batch) for batch in batches)
    return RowMinibatches(iterator, fewer) if plain else iterator


def _is_plain(batch: SampleBatch) -> bool:
    columns = dict(batch)
    sequences = batch.zero_padded or batch._slice_seq_lens_in_B or SampleBatch.SEQ_LENS in columns
    leaves = tree.flatten(columns)
    tensors = all(isinstance(leaf, torch.Tensor) and len(leaf) == len(batch) for leaf in leaves)
    return not sequences and tensors and len(batch) > 0 and len({leaf.device for leaf in leaves}) == 1


def _device(batch: SampleBatch) -> torch.device:
    device: torch.device = tree.flatten(dict(batch))[0].device
    return device


def _minibatch(columns: dict[str, Any], rows: torch.Tensor, counted_only: bool) -> SampleBatch:
    size = len(rows)
    if counted_only:
        counted = rows[columns[Columns.LOSS_MASK][rows]]
        if len(counted):
            rows = counted
            del columns[Columns.LOSS_MASK]
    minibatch = SampleBatch(_rows(columns, rows))
    minibatch.count = size  # which RLlib logs
    return minibatch


def _rows(columns: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    gathered: dict[str, Any] = mapped(lambda column: column.index_select(0, rows), columns)
    return gathered
