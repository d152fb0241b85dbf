"""Values in parts, beside others that listen to the same method."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns

from parity.frameworks.rllib.fast.row_wise import AsSampled, InParts, computing_values


class Module(torch.nn.Module):
    def compute_values(self, batch: dict) -> torch.Tensor:
        return batch[Columns.OBS].sum(1)


class Looks:
    """As parity.watch stands before a module's method."""

    only_looks = True

    def __init__(self, compute_values: Any) -> None:
        self.compute_values = compute_values
        self.heard: list[int] = []

    def __call__(self, batch: dict) -> torch.Tensor:
        self.heard.append(len(batch[Columns.OBS]))
        return self.compute_values(batch)


def test_who_listens_hears_all_rows_and_what_it_put_there_stays() -> None:
    heard_by, plain, watched = Module(), Module(), Module()
    heard: list[int] = []

    def hear(batch: dict) -> torch.Tensor:
        heard.append(len(batch[Columns.OBS]))
        return Module.compute_values(heard_by, batch)

    heard_by.compute_values = hear  # type: ignore[method-assign]
    watched.compute_values = looking = Looks(watched.compute_values)  # type: ignore[method-assign, assignment]
    before = looking.compute_values
    modules = (heard_by, plain, watched)
    rows = torch.arange(10.0).reshape(5, 2)
    with computing_values([(module, lambda compute: InParts(compute, 2)) for module in modules]):
        parted = looking.compute_values
        values = [module.compute_values({Columns.OBS: rows, Columns.REWARDS: rows[:, 0]}) for module in modules]
    assert all(torch.equal(each, rows.sum(1)) for each in values)
    assert heard == looking.heard == [5] and isinstance(parted, InParts)
    assert vars(heard_by)["compute_values"] is hear and "compute_values" not in vars(plain)
    assert vars(watched)["compute_values"] is looking and looking.compute_values is before


def test_values_of_sampling_are_taken_while_the_learner_has_the_same_weights() -> None:
    rows = torch.rand(200, 2)
    sampled = torch.arange(200) % 5 != 4
    by_sampling = torch.where(sampled, rows.sum(1), torch.nan)
    asked: list[int] = []

    def values_with(weight: float) -> torch.Tensor:
        def compute(batch: dict) -> torch.Tensor:
            asked.append(len(batch[Columns.OBS]))
            return weight * batch[Columns.OBS].sum(1)

        return AsSampled(compute, by_sampling, sampled)({Columns.OBS: rows, Columns.REWARDS: rows[:, 0]})

    assert torch.allclose(values_with(1.0), rows.sum(1)) and asked == [40 + 32]
    asked.clear()
    assert torch.equal(values_with(1.01), 1.01 * rows.sum(1)) and asked == [40 + 32, 200]
