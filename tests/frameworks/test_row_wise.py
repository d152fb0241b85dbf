"""Values in parts, beside a watcher that listens to the same method."""

from __future__ import annotations

import torch
from ray.rllib.core.columns import Columns

from parity.frameworks.rllib.fast.row_wise import values_in_parts


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
    with values_in_parts({"watched": watched, "plain": plain}, 2):
        both = [module.compute_values({Columns.OBS: rows, Columns.REWARDS: rows[:, 0]}) for module in (watched, plain)]
    assert torch.equal(both[0], rows.sum(1)) and torch.equal(both[1], rows.sum(1)) and heard == [5]
    assert vars(watched)["compute_values"] is hear and "compute_values" not in vars(plain)
