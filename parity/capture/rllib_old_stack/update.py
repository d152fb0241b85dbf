"""Watches one short update by ``PPO``'s loop of the old API stack: rows, losses, gradients and parameters on their way."""

from __future__ import annotations

import contextlib
import types
from collections import defaultdict
from typing import Any

import tree
from ray.rllib.execution.train_ops import multi_gpu_train_one_step, train_one_step
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.util.timer import _Timer

from parity.capture.module_capture import ModuleCapture
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.update import ROW, Watch, row_numbers, shortened
from parity.frameworks.rllib.arrays import array
from parity.results.capture import Capture


def watched_update(capture: Capture, worker: Any, learner: Any, batches: dict[str, dict[str, Any]]) -> None:
    """Runs the update of the port's configuration on the policies' batches, shortened, and stores what rungs 5 to 8 compare."""
    rows = max(len(row_numbers(columns)) for columns in batches.values())
    epochs, minibatch = shortened(rows, worker.config.num_epochs, worker.config.minibatch_size)
    together = {
        module_id: SampleBatch({**tree.map_structure(array, columns), ROW: array(row_numbers(columns))})
        for module_id, columns in batches.items()
    }
    # What these functions of RLlib read of an Algorithm (train_ops.py, ray 2.60.0).
    algorithm = types.SimpleNamespace(
        config={"num_epochs": epochs, "minibatch_size": minibatch, "num_gpus": 0, "train_batch_size": rows},
        env_runner_group=types.SimpleNamespace(local_env_runner=worker),
        reward_estimators={},
        _timers=defaultdict(_Timer),
        _counters=defaultdict(int),
    )
    watches = {module_id: Watch(ModuleCapture(capture, module_id), learner) for module_id in batches}
    with contextlib.ExitStack() as stack:
        for module_id, watch in watches.items():
            policy = learner.policies[module_id]
            policy.config["minibatch_size"] = minibatch
            stack.enter_context(_watched(policy, watch))
        update = train_one_step if worker.config.simple_optimizer else multi_gpu_train_one_step
        update(algorithm, MultiAgentBatch(together, env_steps=rows))
    for watch in watches.values():
        watch.store(epochs, minibatch)


def _watched(policy: Any, watch: Watch) -> contextlib.AbstractContextManager[None]:
    loss, clip, apply = policy.loss, policy.extra_grad_process, policy.apply_gradients

    def gradients() -> dict[Any, Any]:
        return {parameter: parameter.grad for parameter in policy.model.parameters()}

    def watched_loss(model: Any, dist_class: Any, batch: Any) -> Any:
        total = loss(model, dist_class, batch)
        watch.lost(array(batch[ROW]).astype("int64"), total)
        return total

    def watched_clip(optimizer: Any, total: Any) -> Any:
        watch.computed(gradients())
        result = clip(optimizer, total)
        watch.clipped(gradients())
        return result

    def watched_apply(given: Any) -> None:
        watch.stepping()
        apply(given)
        watch.stepped()

    return replaced(policy, loss=watched_loss, extra_grad_process=watched_clip, apply_gradients=watched_apply)
