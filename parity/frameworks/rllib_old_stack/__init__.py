"""RLlib's PPO on the old API stack (``Policy``, ``TorchModelV2``, ``RolloutWorker``), with the task's masked models."""

from __future__ import annotations

import ray

from parity.errors import NotSupported

try:
    from ray.rllib.evaluation.rollout_worker import RolloutWorker as _RolloutWorker  # noqa: F401
    from ray.rllib.models.torch.torch_modelv2 import TorchModelV2 as _TorchModelV2  # noqa: F401
except ImportError as error:
    raise NotSupported(
        f"--frameworks rllib-old-stack: the installed ray {ray.__version__} has no old API stack any more ({error}); compare "
        "it with ray 2.60, or leave rllib-old-stack out."
    ) from error

from parity.frameworks.rllib_old_stack.framework import RllibOldStack

__all__ = ["RllibOldStack"]
