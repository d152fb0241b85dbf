"""Values in parts, beside a watcher that listens to the same method."""

from __future__ import annotations

import torch
from ray.rllib.core.columns import Columns

from parity.frameworks.rllib.fast.row_wise import AsSampled, InParts, computing_values


class Module(torch.nn.Module):
    def compute_values(self, batch: dict) -> torch.Tensor:
        return batch[Columns.OBS].sum(1)


def test_a_watcher_hears_all_rows_and_what_it_put_there_stays() -> None:
    watched, plain = Module(), Module()
    heard: list[int] = []

    def hear(batch: dict) -> torch.Tensor:
        heard.append(len(batch[Columns.OBS]))
        return Module.compute_values(watched, batch)

    watched.compute_values = hear  # type: ignore[method-assign]
    rows = torch.arange(10.0).reshape(5, 2)
    with computing_values([(module, InParts(module.compute_values, 2)) for module in (watched, plain)]):
        both = [module.compute_values({Columns.OBS: rows, Columns.REWARDS: rows[:, 0]}) for module in (watched, plain)]
    assert torch.equal(both[0], rows.sum(1)) and torch.equal(both[1], rows.sum(1)) and heard == [5]
    assert vars(watched)["compute_values"] is hear and "compute_values" not in vars(plain)


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
