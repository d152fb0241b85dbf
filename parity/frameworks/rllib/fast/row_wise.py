"""Modules that compute every row by itself may be given fewer rows at once: in parts, without those that count for nothing, or
without those that sampling has computed."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import tree
from ray.rllib.core.columns import Columns

from parity.frameworks.rllib.arrays import duplicate, mapped
from parity.frameworks.rllib.module import SharedNetworkModule

# Rows of less than this many bytes are computed at once as quickly.
_LARGE_ROW = 512

# Values that both sampling and the learner compute, to see whether their weights are the same.
_COMPARED = 32

ComputeValues = Callable[[dict[str, Any]], torch.Tensor]
Way = Callable[[ComputeValues], ComputeValues]
"""Given a method that computes values of all rows of a batch, another way to them."""


@dataclasses.dataclass(frozen=True)
class RowWise:
    """What a module gives for some rows without the others beside them.

    Attributes:
        close: the same but for the last bits: matrices of another height are multiplied in other blocks.
        equal: the same bits, for whole blocks of rows.
    """

    close: bool = False
    equal: bool = False


def look(module: Any, columns: dict[str, Any], size: int) -> RowWise:
    """Asks a copy of a module for the first ``2 * size`` rows of a batch: together, in halves, and without some of them."""
    kind = type(module)
    stays_as_it_is = kind is SharedNetworkModule and next(module.buffers(), None) is None
    rows = {Columns.OBS: _rows(columns[Columns.OBS], slice(2 * size))}
    counted = columns[Columns.LOSS_MASK][: 2 * size]
    if not stays_as_it_is or counted.device.type != "cpu" or len(counted) < 2 * size:
        return RowWise()
    copy, before = duplicate(module), torch.get_rng_state()

    def outputs(chosen: Any) -> torch.Tensor:
        given = copy.forward_train(_rows(rows, chosen))
        return torch.cat([given[Columns.ACTION_DIST_INPUTS], given[Columns.EMBEDDINGS][:, None]], dim=1)

    with torch.no_grad():
        together = outputs(slice(None))
        halves = torch.cat([outputs(slice(size)), outputs(slice(size, None))])
        fewer = outputs(counted)
    if not torch.equal(torch.get_rng_state(), before):
        torch.set_rng_state(before)
        return RowWise()
    return RowWise(_is_close(together[counted], fewer), torch.equal(together, halves))


@contextlib.contextmanager
def computing_values(ways: list[tuple[Any, Way]]) -> Iterator[None]:
    """Inside, each module's ``compute_values`` goes another way to the same values.

    Whoever has put something in the place of that method hears all rows, unless it says that it ``only_looks`` and has the
    method, or what else stands there, as its ``compute_values`` (parity.watch).
    """
    replaced = []
    for module, way in ways:
        if not hasattr(module, "compute_values"):
            continue
        heard_by = vars(module).get("compute_values")
        owner = module if heard_by is None else heard_by
        if heard_by is None or getattr(heard_by, "only_looks", False):
            replaced.append((owner, vars(owner).get("compute_values")))
            owner.compute_values = way(owner.compute_values)
    try:
        yield
    finally:
        for owner, before in replaced:
            if before is None:
                del owner.compute_values
            else:
                owner.compute_values = before


@dataclasses.dataclass(frozen=True)
class InParts:
    """Takes ``size`` rows at a time, which memory is faster for."""

    compute_values: ComputeValues
    size: int

    def __call__(self, batch: dict[str, Any]) -> torch.Tensor:
        rows = len(batch[Columns.REWARDS])
        observations = batch[Columns.OBS]
        of_row = sum(leaf[:1].numel() * leaf.element_size() for leaf in tree.flatten(observations))
        if of_row < _LARGE_ROW or rows <= self.size:
            return self.compute_values(batch)
        # The last part has the rest of the rows too, none being smaller than those that were looked at.
        ends = [*range(self.size, rows - self.size + 1, self.size), rows]
        parts = [slice(low, high) for low, high in itertools.pairwise([0, *ends])]
        return torch.cat([self.compute_values({Columns.OBS: _rows(observations, part)}) for part in parts])


@dataclasses.dataclass(frozen=True)
class AsSampled:
    """Computes the values that sampling did not, and some that it did: where those differ, the weights do, and all are.

    Attributes:
        values: float32 ``[B]``, what sampling computed.
        sampled: bool ``[B]``, where it did.
    """

    compute_values: ComputeValues
    values: torch.Tensor
    sampled: torch.Tensor

    def __call__(self, batch: dict[str, Any]) -> torch.Tensor:
        known = self.sampled.nonzero().squeeze(-1)
        known = known[:: max(1, len(known) // _COMPARED)][:_COMPARED]  # from all of the batch
        rows = torch.cat([known, (~self.sampled).nonzero().squeeze(-1)])
        names = (Columns.OBS, Columns.REWARDS)
        computed = self.compute_values({name: _rows(batch[name], rows) for name in names}).detach()
        if not _is_close(computed[: len(known)], self.values[known]):
            return self.compute_values(batch)
        return self.values.index_copy(0, rows, computed)


def _is_close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two results differ by no more than rounding."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def _rows(columns: Any, chosen: Any) -> Any:
    return mapped(lambda column: column[chosen], columns)
