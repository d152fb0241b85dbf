"""Advantages and value targets as Stable-Baselines3's rollout buffer computes them, for RLlib's learner pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.evaluation.postprocessing import Postprocessing

from parity.frameworks.rllib.arrays import array, mapped, take


def advantages_and_returns(
    rewards: np.ndarray,
    values: np.ndarray,
    chunk_ends: np.ndarray,
    bootstrap: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> tuple[np.ndarray, np.ndarray]:
    """GAE(lambda) with the float32 operations of ``RolloutBuffer.compute_returns_and_advantage``, in its order.

    Stable-Baselines3 2.9.2 (``stable_baselines3/common/buffers.py``), and ``collect_rollouts`` for truncation: the
    discounted value of the observation after the last step is added to that step's reward, and the recursion stops
    there. A rollout that ends inside an episode gives the same operations.

    Args:
        rewards: float32 ``[T]``, the chunks of episodes one after the other.
        values: float32 ``[T]``, V of the observation of each row.
        chunk_ends: bool ``[T]``, True at the last row of each chunk.
        bootstrap: float32 ``[T]``, V of the observation after the row at chunk ends that did not terminate, else 0.
        gamma: discount factor.
        gae_lambda: GAE's lambda.

    Returns:
        advantages and returns (value targets), float32 ``[T]``.
    """
    rewards = rewards.astype(np.float32)
    rewards[chunk_ends] += gamma * bootstrap[chunk_ends]
    non_terminal = np.float32(1.0) - chunk_ends.astype(np.float32)
    next_values = np.append(values[1:], np.float32(0.0))
    deltas = rewards + gamma * next_values * non_terminal - values
    decay = gamma * gae_lambda * non_terminal
    advantages = np.zeros_like(values)
    last = np.float32(0.0)
    for step in reversed(range(len(values))):
        last = deltas[step] + decay[step] * last
        advantages[step] = last
    return advantages, advantages + values


class ExactReturns(ConnectorV2):
    """Takes the place of RLlib's ``GeneralAdvantageEstimation`` at the end of the learner pipeline.

    Adds to each module's batch raw (not standardised) ``advantages``, ``value_targets`` and ``vf_preds``, float32 ``[T]``,
    and removes the rows that ``AddOneTsToEpisodesAndTruncate`` appended for bootstrapping, with their ``loss_mask``.

    Values are those of sampling where the episodes carry them (`ExactEnvRunner` puts ``vf_preds`` and
    ``values_bootstrapped`` there, computed on the batches that Stable-Baselines3 computes them on); otherwise one forward
    pass of the module over the whole batch, as RLlib does it.

    Args:
        config: says gamma, lambda and which modules may be trained; the batches of the others stay as they are.
    """

    def __init__(self, config: AlgorithmConfig) -> None:
        super().__init__()
        self._config = config

    def __call__(self, *, rl_module: Any, batch: dict[str, Any], episodes: list[Any], **_: Any) -> dict[str, Any]:
        for module_id, columns in list(batch.items()):
            if module_id not in rl_module or not may_be_trained(self._config, module_id):
                continue
            module = rl_module[module_id].unwrapped()
            if isinstance(module, ValueFunctionAPI):
                batch[module_id] = self._with_returns(module, columns)
        return batch

    def _with_returns(self, module: RLModule, columns: dict[str, Any]) -> dict[str, Any]:
        real = array(columns.pop(Columns.LOSS_MASK)).astype(bool)
        rows = np.flatnonzero(real)
        # A chunk's appended row follows its last real one.
        chunk_ends = ~np.append(real[1:], False)[rows]
        terminated = array(columns[Columns.TERMINATEDS])[rows].astype(bool)
        if Columns.VF_PREDS in columns and Columns.VALUES_BOOTSTRAPPED in columns:
            values = array(columns[Columns.VF_PREDS])[rows]
            bootstrap = array(columns.pop(Columns.VALUES_BOOTSTRAPPED))[rows]
            if not (module.model_config or {}).get("vf_preds"):
                # RLlib's pipeline calls it on this very batch, and a brought module may rely on that: RLlib's own
                # ActionMaskingTorchRLModule takes the mask out of the observations there.
                values_of(module, columns)
        else:
            predicted = array(values_of(module, columns))
            values = predicted[rows]
            bootstrap = predicted[rows + 1]
        bootstrap = np.where(chunk_ends & ~terminated, bootstrap, np.float32(0.0))
        advantages, returns = advantages_and_returns(
            array(columns[Columns.REWARDS])[rows],
            values,
            chunk_ends,
            bootstrap,
            self._config.gamma,
            self._config.lambda_,
        )
        device = columns[Columns.REWARDS].device
        return take(columns, rows) | {
            Postprocessing.ADVANTAGES: torch.as_tensor(advantages, device=device),
            Postprocessing.VALUE_TARGETS: torch.as_tensor(returns, device=device),
            Columns.VF_PREDS: torch.as_tensor(values, device=device),
        }


def may_be_trained(config: AlgorithmConfig, module_id: str) -> bool:
    """Whether ``policies_to_train`` lets the module be trained, as far as can be told before there is a batch."""
    trained = config.policies_to_train
    return trained is None or callable(trained) or module_id in trained


def containers(batch: Any) -> Any:
    """A copy of the batch's dicts around the same tensors: a module may take apart the batch that it is given."""
    return mapped(lambda leaf: leaf, batch)


def values_of(module: Any, columns: dict[str, Any]) -> torch.Tensor:
    """V of every row, float32 ``[T]``, without gradients and in evaluation mode, as at sampling.

    Raises:
        ValueError: the module returned another shape; ``[T, 1]`` would broadcast against ``[T]`` without a word.
    """
    was_training = module.training
    if was_training:
        module.eval()
    try:
        with torch.no_grad():
            values = module.compute_values(columns)
    finally:
        if was_training:
            module.train()
    if values.ndim != 1:
        raise ValueError(
            f"{type(module).__name__}.compute_values returned shape {list(values.shape)}: return [B], without a last "
            "dimension of 1."
        )
    return values
