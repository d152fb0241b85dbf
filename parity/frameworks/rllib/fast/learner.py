"""Learners that make their train batch from a rollout's arrays, and update with less around it, to the last bit."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.learner import GeneralAdvantageEstimation
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ALL_MODULES,
    LEARNER_CONNECTOR_SUM_EPISODES_LENGTH_IN,
    LEARNER_CONNECTOR_SUM_EPISODES_LENGTH_OUT,
    WEIGHTS_SEQ_NO,
)
from ray.rllib.utils.torch_utils import convert_to_torch_tensor

from parity.frameworks.rllib.exact.learner import ExactPPOLearner, LossTerms
from parity.frameworks.rllib.exact.minibatches import ExactMinibatches
from parity.frameworks.rllib.exact.returns import ExactReturns, may_be_trained
from parity.frameworks.rllib.fast import captured, conditions
from parity.frameworks.rllib.fast.acting import has_one_action
from parity.frameworks.rllib.fast.adam import FlatAdam, flat_gradient
from parity.frameworks.rllib.fast.captured import CapturedUpdate
from parity.frameworks.rllib.fast.episodes import ROWS, ModuleRows, Rollout
from parity.frameworks.rllib.fast.loss import loss_of_all_rows
from parity.frameworks.rllib.fast.memory import unfilled
from parity.frameworks.rllib.fast.metrics import last_logged
from parity.frameworks.rllib.fast.minibatches import RowMinibatches, by_rows
from parity.frameworks.rllib.fast.row_wise import (
    AsSampled,
    ComputeValues,
    InParts,
    RowWise,
    Way,
    computing_values,
    look,
)

# RLlib's own pieces before the one that computes returns; what they put together are the arrays' columns.
_LEARNER = (
    "AddOneTsToEpisodesAndTruncate",
    "AddObservationsFromEpisodesToBatch",
    "AddColumnsFromEpisodesToTrainBatch",
    "AddTimeDimToBatchAndZeroPad",
    "AddStatesFromEpisodesToBatch",
    "AgentToModuleMapping",
    "BatchIndividualItems",
    "NumpyToTensor",
)


class FastPPOLearner(PPOTorchLearner):
    """RLlib's `PPOTorchLearner`; its train batch comes from the arrays of a fast env runner where there are any.

    The update is RLlib's loop over the same minibatches; what it logs at each and keeps of the last is logged once, and
    Adam steps all parameters at once. Rows that RLlib appends for bootstrapping count for nothing in its loss; where a module
    computes every row by itself they are left out of its forward pass, and values that sampling computed are not computed
    again, which changes the last bits of advantages and gradients.

    Attributes:
        to_the_last_bit: True computes everything as RLlib does.
    """

    takes_rows = True
    to_the_last_bit = False

    def build(self) -> None:
        self._left_of_batch: list[str] = []
        self._left_of_update: list[str] = []
        self._flat: dict[str, FlatAdam] = {}
        self._row_wise: dict[str, RowWise] = {}
        self._captured = CapturedUpdate(self)
        super().build()

    @property
    def left(self) -> list[str]:
        """Why the last batch or update went RLlib's own way, a sentence's middle each; empty where neither did."""
        one_by_one = [] if self._captured.left is None else [f"no CUDA graph: {self._captured.left}"]
        return [*self._left_of_batch, *(self._left_of_update or one_by_one)]

    @property
    def _own(self) -> type:
        """The class whose methods the fast update calls or stands for."""
        return FastPPOLearner

    def update(self, *args: Any, **kwargs: Any) -> Any:
        self._left_of_update = conditions.of_update(self, self._own)
        if self._left_of_update:
            return super().update(*args, **kwargs)
        with last_logged(self), unfilled():
            return super().update(*args, **kwargs)

    def _create_iterator_if_necessary(self, **arguments: Any) -> Any:
        self._minibatch_size = arguments.get("minibatch_size") or 0
        minibatches = super()._create_iterator_if_necessary(**arguments)
        if self._left_of_update:
            return minibatches
        fewer = {module_id for module_id, rows in self._row_wise.items() if rows.close and not self.to_the_last_bit}
        minibatches = by_rows(minibatches, fewer)
        on_gpu = self._device.type in captured.DEVICES and isinstance(minibatches, RowMinibatches | ExactMinibatches)
        return self._captured.dealt(minibatches) if on_gpu else minibatches

    def _update(self, batch: Any, **kwargs: Any) -> Any:
        if self._captured.losses is not None:
            return {}, self._captured.losses, {}
        return super()._update(batch, **kwargs)

    def looks_at(self, number: int) -> bool:
        """Whether somebody looks from within at the minibatch of this number, from 1."""
        return False

    def may_stop(self, module_id: str) -> bool:
        """Whether a module's update may end before all of its minibatches."""
        return False

    def captured_loss(self, **given: Any) -> torch.Tensor:
        """The loss of one module's minibatch, without waiting for the GPU; as `compute_loss_for_module`."""
        return loss_of_all_rows(self, **given)

    def _compute_off_policyness(self, batch: Any) -> None:
        if self._left_of_update:
            super()._compute_off_policyness(batch)
            return
        for module_id, columns in batch.items():
            # Of the last minibatch that the module has rows in.
            kept = {name: columns[name] for name in (WEIGHTS_SEQ_NO, Columns.LOSS_MASK) if name in columns}
            log = functools.partial(super()._compute_off_policyness, {module_id: kept})
            self.metrics.later(("off-policy", module_id), log)

    def apply_gradients(self, gradients_dict: Any) -> None:
        """RLlib's, with one look at whether all gradients are finite and one step for all parameters of an optimizer."""
        if self._left_of_update or not self._step_flat(gradients_dict):
            super().apply_gradients(gradients_dict)

    def _step_flat(self, gradients: Any) -> bool:
        """Steps all optimizers; False, with nothing done, where a gradient is not finite or not dense."""
        for reference, gradient in gradients.items():
            self._params[reference].grad = gradient
        stepped = []
        for name, optimizer in self._named_optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradient = flat_gradient(parameters)
            if gradient is None:
                return False
            if not self.config.torch_skip_nan_gradients and not gradient.isfinite().all():
                return False
            flat = self._flat.get(name)
            if flat is None or flat.optimizer is not optimizer:
                flat = self._flat[name] = FlatAdam(optimizer)
            stepped.append((flat, parameters, gradient))
        for flat, parameters, gradient in stepped:
            flat.step(parameters, gradient)
        return True

    def _make_batch_if_necessary(self, training_data: Any) -> Any:
        rollout = self._taken(training_data)
        return super()._make_batch_if_necessary(training_data) if rollout is None else self._batch_of(rollout)

    def _taken(self, training_data: Any) -> Rollout | None:
        """The arrays that hold what the episodes hold; None where there are none."""
        self._left_of_batch = []
        episodes = training_data.episodes
        if not episodes or training_data.batch is not None:
            return None
        rollouts = [each.custom_data.pop(ROWS) for each in episodes if ROWS in getattr(each, "custom_data", {})]
        left = [*conditions.of_methods(self, PPOTorchLearner, ["_convert_batch_type"]), *self._of_pipeline()]
        if not left and (len(rollouts) != 1 or not rollouts[0].is_of(episodes)):
            left.append("these episodes came without arrays of all of them")
        self._left_of_batch = left
        return None if left else rollouts[0]

    def _of_pipeline(self) -> list[str]:
        if self._learner_connector is None:
            return ["there is no learner connector"]
        last = type(self._learner_connector.connectors[-1])
        returns = last.__name__ if last in (GeneralAdvantageEstimation, ExactReturns) else "returns"
        return list(conditions.of_pipeline(self._learner_connector, (*_LEARNER, returns), (ExactReturns,)))

    def _batch_of(self, rollout: Rollout) -> MultiAgentBatch:
        batch: dict[str, Any] = {}
        lengths: list[SingleAgentEpisode] = []
        ways: list[tuple[Any, Way]] = []
        for module_id, rows in rollout.modules.items():
            if not may_be_trained(self.config, module_id) and has_one_action(self.module[module_id].unwrapped()):
                continue  # what becomes of these rows changes nothing
            batch[module_id], values, ended = self._columns(rows)
            lengths += [_of_length(module_id, length) for length in ended]
            if self._minibatch_size:
                ways.append(self._way_to_values(module_id, batch[module_id], values))
        for name in (LEARNER_CONNECTOR_SUM_EPISODES_LENGTH_IN, LEARNER_CONNECTOR_SUM_EPISODES_LENGTH_OUT):
            self.metrics.log_value((ALL_MODULES, name), rollout.env_steps)  # what the pipeline logs
        # The last piece alone: it computes returns, and sees the batch and the lengths of its parts.
        # RLlib's keeps a graph of the whole batch that nobody asks for.
        with torch.no_grad(), computing_values(ways):
            batch = self._learner_connector.connectors[-1](
                rl_module=self.module, batch=batch, episodes=lengths, shared_data={}, metrics=self.metrics
            )
        return MultiAgentBatch(
            {module_id: SampleBatch(columns) for module_id, columns in batch.items()}, env_steps=rollout.env_steps
        )

    def _way_to_values(self, module_id: str, columns: dict[str, Any], sampled: torch.Tensor | None) -> tuple[Any, Way]:
        """A module, and how its values are computed soonest."""
        module = self.module[module_id].unwrapped()
        if module_id not in self._row_wise:
            self._row_wise[module_id] = look(module, columns, self._minibatch_size)
        row_wise = self._row_wise[module_id]
        takes_sampled = row_wise.close and not self.to_the_last_bit

        def way(compute_values: ComputeValues) -> ComputeValues:
            if row_wise.equal:
                compute_values = InParts(compute_values, self._minibatch_size)
            if takes_sampled and sampled is not None:
                compute_values = AsSampled(compute_values, sampled, columns[Columns.LOSS_MASK])
            return compute_values

        return module, way

    def _columns(self, rows: ModuleRows) -> tuple[dict[str, Any], torch.Tensor | None, list[int]]:
        """The columns as RLlib's pieces make them, one row appended to each unit; values of sampling; the units' lengths."""
        units = rows.units
        chosen = np.concatenate([np.arange(unit.low, unit.high + 1) for unit in units])
        lengths = [unit.high - unit.low + 1 for unit in units]
        ends = np.cumsum(lengths) - 1
        real = np.ones(len(chosen), dtype=bool)
        real[ends] = False
        terminated, truncated = np.zeros((2, len(chosen)), dtype=bool)
        terminated[ends - 1] = [unit.terminated for unit in units]
        # RLlib marks a chunk that was cut as truncated.
        truncated[ends - 1] = [unit.truncated or not unit.terminated for unit in units]
        whole = len(chosen) == len(rows.columns[Columns.REWARDS])
        taken = rows.columns if whole else tree.map_structure(lambda array: array[chosen], rows.columns)
        columns = dict(taken) | {
            Columns.LOSS_MASK: real,
            Columns.TERMINATEDS: terminated,
            Columns.TRUNCATEDS: truncated,
        }
        values = rows.values if whole or rows.values is None else rows.values[chosen]
        return (
            convert_to_torch_tensor(columns, device=self._device),
            None if values is None else torch.from_numpy(values),
            lengths,
        )


class FastExactPPOLearner(FastPPOLearner, ExactPPOLearner):
    """`ExactPPOLearner`, with its numbers to the last bit."""

    @property
    def _own(self) -> type:
        return FastExactPPOLearner

    def may_stop(self, module_id: str) -> bool:
        return self.options(module_id).target_kl is not None

    def captured_loss(self, **given: Any) -> torch.Tensor:
        return self.compute_loss_for_module(**given)

    def _is_not_finite(self, norm: torch.Tensor) -> bool:
        # Whoever captures asks once for many minibatches.
        return not self._captured.is_capturing and super()._is_not_finite(norm)

    def _log_terms(self, module_id: str, terms: LossTerms, value_targets: torch.Tensor) -> None:
        if self._left_of_update:
            super()._log_terms(module_id, terms, value_targets)
        else:
            log = functools.partial(super()._log_terms, module_id, terms, value_targets)
            self.metrics.later(("loss", module_id), log)


def _of_length(module_id: str, length: int) -> SingleAgentEpisode:
    """An episode of which only the length is read."""
    episode = SingleAgentEpisode.__new__(SingleAgentEpisode)
    episode.module_id, episode.t_started, episode.t = module_id, 0, length
    return episode
