"""Modules that compute every row by itself may be given fewer rows at once, or none of those that count for nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import torch
import tree
from ray.rllib.core.columns import Columns

from parity.frameworks.rllib.arrays import duplicate, mapped
from parity.frameworks.rllib.module import SharedNetworkModule

# Rows of less than this many bytes are computed at once as quickly.
_LARGE_ROW = 512


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
    return RowWise(torch.allclose(together[counted], fewer, rtol=1e-4, atol=1e-5), torch.equal(together, halves))


@contextlib.contextmanager
def values_in_parts(modules: dict[str, Any], size: int) -> Iterator[None]:
    """Inside, ``compute_values`` of these modules takes ``size`` rows at a time, which memory is faster for."""
    # Whoever listens to a module (parity.watch) has put something there already, wants all rows, and takes it away afterwards.
    unheard = [module for module in modules.values() if "compute_values" not in vars(module)]
    for module in unheard:
        module.compute_values = _InParts(module.compute_values, size)
    try:
        yield
    finally:
        for module in unheard:
            del module.compute_values


@dataclasses.dataclass(frozen=True)
class _InParts:
    compute_values: Any
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


def _rows(columns: Any, chosen: Any) -> Any:
    return mapped(lambda column: column[chosen], columns)
