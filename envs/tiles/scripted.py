"""The frozen second agent of the tiles problem, for RLlib."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from parity_envs.tiles.classifier import TILE_SHAPE
from parity_envs.tiles.env import scripted_resolution
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import nn

# Sampling then takes another action once in e^50 times: sampled and deterministic play are the same.
CERTAIN = 50.0


class ScriptedResolutionModule(TorchRLModule, ValueFunctionAPI):
    """``scripted_resolution`` as a policy of ``res_selector``, which sees in the image how many tiles are revealed.

    The policy is a table of logits ``[res_actions, res_actions]`` and the value one number. Both are parameters, because
    RLlib gives an optimiser to every module, and both must be as they were when training ends.
    """

    def setup(self) -> None:
        assert isinstance(self.action_space, spaces.Discrete)
        n = int(self.action_space.n)
        rows = torch.tensor([scripted_resolution(revealed, n) for revealed in range(n)])
        self.table = nn.Parameter(CERTAIN * nn.functional.one_hot(rows, n).float())
        self.value = nn.Parameter(torch.zeros(1))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        # A revealed tile has no pixel that is 0, so one pixel of each tile tells.
        _, height, width = TILE_SHAPE
        corners = batch[Columns.OBS]["image"][:, 0, ::height, ::width]
        revealed = (corners > 0).flatten(1).sum(dim=1)
        return {Columns.ACTION_DIST_INPUTS: self.table[revealed % len(self.table)]}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """Values float32 ``[B]``."""
        return self.value.expand(len(batch[Columns.OBS]["image"]))
