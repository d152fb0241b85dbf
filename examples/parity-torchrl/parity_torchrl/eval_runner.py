"""Playing a TorchRL policy for parity's evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchrl.envs import ExplorationType, set_exploration_type

from parity import Task
from parity.frameworks.masked_eval_runner import MaskedEvalRunner
from parity.frameworks.network import network_input, stack_observations
from parity_torchrl.policy import Policy


class TorchRLEvalRunner(MaskedEvalRunner):
    """The actor decides for all episodes at once."""

    def __init__(self, task: Task, policy: Policy, slots: int) -> None:
        super().__init__(task, slots)
        self._policy = policy

    def decide(self, observations: list[Any], masks: np.ndarray, deterministic: bool) -> np.ndarray:
        with set_exploration_type(ExplorationType.DETERMINISTIC if deterministic else ExplorationType.RANDOM):
            return self._policy.decide(*self._tensors(observations, masks)).cpu().numpy()

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, probabilities = self._policy.ask(*self._tensors(observations, masks))
        return values.double().cpu().numpy(), probabilities.double().cpu().numpy()

    def _tensors(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[Any, torch.Tensor]:
        space, device = self._policy.module.observation_space, next(self._policy.module.parameters()).device
        batch = network_input(stack_observations(observations, space), space, device)
        return batch, torch.as_tensor(masks, device=device)
