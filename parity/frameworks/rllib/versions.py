"""Bridges the versions of RLlib that parity works with; no other file asks which one is installed.

Everything works with ray 2.60. With 2.47 the numeric ladder of the framework ``rllib`` works, by the bridges for moved modules
and renamed attributes here. ``rllib-exact`` builds on internals of 2.60.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ray
from ray.rllib.policy.sample_batch import MultiAgentBatch
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from parity.errors import NotSupported

# rllib/core/distribution/ since it left rllib/models/ (2.47.1: rllib/models/distributions.py and torch/torch_distributions.py).
try:
    from ray.rllib.core.distribution.distribution import Distribution
    from ray.rllib.core.distribution.torch.torch_distribution import (
        TorchCategorical,
        TorchDeterministic,
        TorchMultiCategorical,
    )
except ModuleNotFoundError:
    from ray.rllib.models.distributions import Distribution
    from ray.rllib.models.torch.torch_distributions import TorchCategorical, TorchDeterministic, TorchMultiCategorical

__all__ = ["Distribution", "TorchCategorical", "TorchDeterministic", "TorchMultiCategorical"]

VERSION: str = ray.__version__
RELEASE: tuple[int, int] = tuple(int(part) for part in VERSION.split(".")[:2])  # type: ignore[assignment]
EXACT_FROM = (2, 60)


def facts() -> dict[str, Any]:
    """The facts about the installed version that findings use."""
    return {"version": VERSION, "bootstraps_cut_chunks": bootstraps_cut_chunks()}


def bootstraps_cut_chunks() -> bool:
    """Whether value targets use the value that follows a chunk which did not terminate; found out by calling RLlib.

    rllib/utils/postprocessing/value_predictions.py; pull request 59958: 2.47.1 does not, 2.60.0 does.
    """
    targets = compute_value_targets(
        values=np.array([0.0, 1.0]), rewards=np.zeros(2), terminateds=np.zeros(2), truncateds=np.array([1.0, 0.0]),
        gamma=1.0, lambda_=1.0,
    )  # fmt: skip
    return bool(targets[0] == 1.0)


def update_from_tensors(learner: Any, batch: MultiAgentBatch, **arguments: Any) -> None:
    """``learner.update(batch=...)`` for a batch of tensors that are on the learner's device.

    2.47.1 looks for ``batch["obs"].device`` to find out, which a dict of observations does not have (learner.py:1357).
    """
    if RELEASE < (2, 60):
        learner._make_batch_if_necessary = lambda training_data: training_data.batch
    try:
        learner.update(batch=batch, **arguments)
    finally:
        vars(learner).pop("_make_batch_if_necessary", None)


def has_fast_path() -> bool:
    """Whether `parity.frameworks.rllib.fast` can take the place of RLlib's own classes: it builds on internals of 2.60."""
    return RELEASE >= EXACT_FROM


def refuse_exact() -> None:
    """Raises NotSupported where ``rllib-exact`` cannot work: its env runner and learner override methods of 2.60."""
    if RELEASE < EXACT_FROM:
        needed = ".".join(map(str, EXACT_FROM))
        raise NotSupported(
            f"--frameworks rllib-exact needs ray {needed} or later, installed is {VERSION}: use --frameworks rllib, or "
            f'upgrade: pip install "ray[rllib]=={needed}.0" gymnasium==1.2.2.'
        )
