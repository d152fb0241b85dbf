"""Playing a MaskablePPO's policy for parity's evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import VecNormalize

from parity.frameworks.masked_eval_runner import MaskedEvalRunner
from parity.frameworks.network import by_path, stack_observations
from parity.task import Task


class Sb3EvalRunner(MaskedEvalRunner):
    def __init__(self, model: MaskablePPO, task: Task, slots: int, normalizer: VecNormalize | None = None) -> None:
        super().__init__(task, slots)
        self._model, self._normalizer = model, normalizer

    def decide(self, observations: list[Any], masks: np.ndarray, deterministic: bool) -> np.ndarray:
        actions, _ = self._model.predict(self._batch(observations), deterministic=deterministic, action_masks=masks)
        return actions

    def values_and_probabilities(self, observations: Sequence[Any], masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        policy = self._model.policy
        policy.set_training_mode(False)
        with torch.no_grad():
            tensors, _ = policy.obs_to_tensor(self._batch(observations))
            distribution: Any = policy.get_distribution(tensors, action_masks=masks)
            values = policy.predict_values(tensors)
        parts = getattr(distribution, "distributions", None) or [distribution.distribution]
        probabilities = torch.cat([part.probs for part in parts], dim=-1)
        return values.flatten().double().cpu().numpy(), probabilities.double().cpu().numpy()

    def _batch(self, rows: Sequence[Any]) -> Any:
        """Observations side by side, as the model gets them."""
        space = self.envs[0].observation_space
        observations = by_path(stack_observations(rows, space), space)
        return observations if self._normalizer is None else self._normalizer.normalize_obs(observations)
