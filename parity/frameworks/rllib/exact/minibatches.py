"""Minibatches as Stable-Baselines3's rollout buffer deals them, for a learner with any number of modules."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterator

import numpy as np
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from parity.frameworks.rllib.arrays import take

Permutation = Callable[[str, int], np.ndarray]
"""``(module_id, n)`` -> a permutation of ``range(n)``, int64 ``[n]``; asked once per module and epoch."""


@dataclasses.dataclass(frozen=True)
class ExactMinibatches:
    """Permutes every module's rows anew each epoch and cuts them into minibatches; the last one of an epoch may be short.

    RLlib 2.60's ``MiniBatchCyclicIterator`` (``rllib/utils/minibatch_utils.py``) walks the first epoch in time order,
    fills the last minibatch from the next epoch, and goes on until the *largest* module has seen its epochs, so that a
    small one sees more. Here each module has its own epochs: a module that is through is missing from later minibatches.

    Attributes:
        batch: the train batch, tensors or arrays.
        num_epochs: passes over each module's rows.
        minibatch_size: rows per minibatch; None takes all of a module's rows at once.
        permutation: source of the permutations.
        stopped: ids of modules that get no further minibatch; read again before each minibatch.
        num_total_minibatches: with several learners RLlib fixes how many minibatches each of them takes (gradients are
            averaged over learners, so that none may stop early): this many, with every module in each of them.
    """

    batch: MultiAgentBatch
    _: dataclasses.KW_ONLY
    num_epochs: int
    minibatch_size: int | None
    permutation: Permutation
    stopped: Container[str] = ()
    num_total_minibatches: int = 0

    def __iter__(self) -> Iterator[MultiAgentBatch]:
        return map(self.minibatch, self.chosen())

    def chosen(self) -> Iterator[dict[str, np.ndarray]]:
        """By module, the rows of each minibatch: int64 ``[B]``."""
        pending = {mid: self._of_module(mid, len(rows)) for mid, rows in self.batch.policy_batches.items()}
        dealt = 0
        while pending and (self.num_total_minibatches == 0 or dealt < self.num_total_minibatches):
            chosen = {}
            for module_id, minibatches in list(pending.items()):
                following = None if module_id in self.stopped else next(minibatches, None)
                if following is None:
                    del pending[module_id]
                else:
                    chosen[module_id] = following
            if chosen:
                dealt += 1
                yield chosen

    def minibatch(self, chosen: dict[str, np.ndarray], is_last: bool = False) -> MultiAgentBatch:
        batches = self.batch.policy_batches
        rows = {mid: SampleBatch(take(dict(batches[mid]), indices)) for mid, indices in chosen.items()}
        return MultiAgentBatch(rows, len(self.batch))

    def _of_module(self, module_id: str, n: int) -> Iterator[np.ndarray]:
        size = self.minibatch_size or n
        epoch = 0
        if n == 0:
            return
        while self.num_total_minibatches > 0 or epoch < self.num_epochs:
            indices = self.permutation(module_id, n)
            for start in range(0, n, size):
                yield indices[start : start + size]
            epoch += 1
