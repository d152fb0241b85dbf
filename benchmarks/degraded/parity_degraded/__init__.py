"""parity's own port with one mistake that people make, each as a framework, so that one study holds them all.

They are the framework `rllib` and differ from it in one value or method of the learning agent's configuration.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns

from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.task import Task
from parity.task.masks import MASK_KEY


class Degraded(Rllib):
    def port(self, task: Task, seed: int, device: str) -> Port:
        port = super().port(task, seed, device)
        self.degrade(port)
        return port

    def degrade(self, port: Port) -> None:
        """Edits ``port.config``, which belongs to this trial alone."""
        raise NotImplementedError


class LearningRateThird(Degraded):
    name = "rllib-lr-third"

    def degrade(self, port: Port) -> None:
        port.config.training(lr=port.config.lr / 3)


class LambdaOne(Degraded):
    name = "rllib-lambda-1"

    def degrade(self, port: Port) -> None:
        port.config.training(lambda_=1.0)


class HalfTheEpochs(Degraded):
    name = "rllib-half-epochs"

    def degrade(self, port: Port) -> None:
        port.config.training(num_epochs=port.config.num_epochs // 2)


class UnmaskedInTraining(SharedNetworkModule):
    """Samples under the mask and computes log-probs and entropy of the loss without it."""

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        observations = batch[Columns.OBS]
        mask = torch.ones_like(observations[MASK_KEY])
        return super()._forward_train({**batch, Columns.OBS: {**observations, MASK_KEY: mask}}, **kwargs)


class NoMaskInTraining(Degraded):
    name = "rllib-no-mask-in-training"

    def degrade(self, port: Port) -> None:
        spec = port.config.rl_module_spec  # a copy
        spec.rl_module_specs[port.learning_module].module_class = UnmaskedInTraining
        port.config.rl_module(rl_module_spec=spec)
