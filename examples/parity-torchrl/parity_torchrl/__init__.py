"""TorchRL as a framework of parity: its collector, GAE, ClipPPOLoss and PPOTrainer on the task's network, masked.

Importing this needs torchrl; where it is missing, parity says so in a sentence.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchrl  # noqa: F401  first, so that a missing package is named by its own name

from parity import Task
from parity.frameworks.base import Effective, EvalRunner, Framework, Iteration, Session
from parity.frameworks.device import synchronizer
from parity.frameworks.stopwatch import Stopwatch
from parity.task.masks import MaskCounts, MaskedEnv
from parity_torchrl.eval_runner import TorchRLEvalRunner
from parity_torchrl.hyperparameters import of_torchrl, untranslated
from parity_torchrl.training import Training, build_loss, build_policy

# Its messages about storages are of no use to readers.
logging.getLogger("torchrl").setLevel(logging.WARNING)

CHECKPOINT_FILE = "training.pt"


class TorchRL(Framework):
    name = "torchrl"
    packages = ("torchrl", "tensordict")

    def effective(self, task: Task, device: str, threads: int) -> Effective:
        session = self.open(task, seed=0, device=device, threads=threads)
        try:
            training = session.training
            return Effective(
                hyperparameters=of_torchrl(training),
                untranslated=untranslated(task.ppo),
                native=_native(training),
                devices=session.devices(),
                threads=threads,
                bundles=[{"CPU": 1.0} | ({"GPU": 1.0} if device == "cuda" else {})],
            )
        finally:
            session.close()

    def open(self, task: Task, seed: int, device: str, threads: int) -> TorchRLSession:
        return TorchRLSession(task, seed, device, threads)

    def restore(self, task: Task, checkpoint: Path, slots: int, device: str = "cpu") -> EvalRunner:
        policy = build_policy(task, MaskedEnv(task.env(), task.mask), None, device)
        state = torch.load(checkpoint / CHECKPOINT_FILE, map_location=device, weights_only=True)
        build_loss(task, policy, device).load_state_dict(state["loss_module"])
        return TorchRLEvalRunner(task, policy, slots)


class TorchRLSession(Session):
    def __init__(self, task: Task, seed: int, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.task = task
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.training = Training(task, seed, device)
        self._watch = Stopwatch(synchronizer(device))
        self._watch.watch(self.training.gae, "forward", "returns")
        self._watch.watch(self.training.trainer, "optim_steps", "update")

    def train(self, steps: int, on_iteration: Callable[[Iteration], None]) -> None:
        trainer = self.training.trainer
        trainer.total_frames = steps
        start = time.perf_counter()

        def report() -> None:
            nonlocal start
            total = self._watch.now() - start
            returns_s, update_s = self._watch.take("returns"), self._watch.take("update")
            on_iteration(
                Iteration(
                    steps=int(trainer.collected_frames),
                    sample_s=total - returns_s - update_s,
                    returns_s=returns_s,
                    update_s=update_s,
                )
            )
            start = time.perf_counter()

        # After PPOTrainer's own hook, which hands the new weights to the collector.
        trainer.register_op("post_steps", report)
        trainer.train()

    def eval_runner(self, slots: int) -> EvalRunner:
        return TorchRLEvalRunner(self.task, self.training.policy, slots)

    def sampling_masks(self) -> MaskCounts:
        return sum((env.counts for env in self.training.envs), start=MaskCounts())

    def devices(self) -> dict[str, str]:
        training = self.training
        return {
            "policy": str(next(training.policy.module.parameters()).device),
            "collector": str(training.collector.storing_device),
            "replay_buffer": str(training.buffer.storage.device),
        }

    def weights(self) -> Mapping[str, torch.Tensor]:
        return self.training.policy.module.state_dict()

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Trainer.state_dict() asks the collector too, which Trainer.train() has shut down by then.
        parts = {"loss_module": self.training.loss, "optimizer": self.training.optimizer}
        torch.save({name: part.state_dict() for name, part in parts.items()}, folder / CHECKPOINT_FILE)

    def close(self) -> None:
        self.training.close()


def _native(training: Training) -> dict[str, Any]:
    """TorchRL's own names."""
    parts = (training.trainer, training.collector, training.loss, training.gae, training.buffer.sampler)
    return {
        "classes": ", ".join(type(part).__name__ for part in parts),
        "frames_per_batch": training.collector.requested_frames_per_batch,
        "loss_critic_type": training.loss.loss_critic_type,
        "average_gae": training.gae.average_gae,
        "normalize_advantage": training.loss.normalize_advantage,
        "drop_last": training.buffer.sampler.drop_last,
    }
