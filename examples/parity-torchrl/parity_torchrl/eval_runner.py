"""Playing a TorchRL policy for parity's evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torchrl.envs import ExplorationType, set_exploration_type

from parity import Task
from parity.frameworks.masked_eval_runner import MaskedEvalRunner
from parity.frameworks.network import network_input
from parity_torchrl.policy import Policy


class TorchRLEvalRunner(MaskedEvalRunner):
    """The actor decides for all episodes at once."""

    def __init__(self, task: Task, policy: Policy, slots: int) -> None:
        super().__init__(task, slots)
        self._policy = policy

    def decide(self, observations: list[Any], masks: np.ndarray, deterministic: bool) -> np.ndarray:
        device = next(self._policy.module.parameters()).device
        batch = stack(observations, self._policy.module.observation_space, device)
        how = ExplorationType.DETERMINISTIC if deterministic else ExplorationType.RANDOM
        with set_exploration_type(how):
            return self._policy.decide(batch, torch.as_tensor(masks, device=device)).cpu().numpy()

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        device = next(self._policy.module.parameters()).device
        batch = stack(list(observations), self._policy.module.observation_space, device)
        values, probabilities = self._policy.ask(batch, torch.as_tensor(masks, device=device))
        return values.double().cpu().numpy(), probabilities.double().cpu().numpy()


def stack(rows: list[Any], space: spaces.Space, device: torch.device | str) -> Any:
    """Observations of several environments as tensors ``[B, …]``, as a tensordict holds them."""
    if isinstance(space, spaces.Dict):
        columns: Any = {name: np.stack([row[name] for row in rows]) for name in space.spaces}
    else:
        columns = np.stack(rows)
    return network_input(columns, space, device)
