"""What an RLlib learner shows of an update, looked at from within: no module is called, nothing is drawn or changed."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.learner import GeneralAdvantageEstimation
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.self_supervised_loss_api import SelfSupervisedLossAPI
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO

from parity.audit import numbers
from parity.audit.figures import IterationFigures, LearnerFigures, ModuleFigures
from parity.audit.judge import seen_in
from parity.audit.tensors import largest_changes, norms, tensors_of
from parity.errors import CannotStart, in_short
from parity.frameworks.rllib.arrays import array, named_parameters, take
from parity.frameworks.rllib.exact.returns import may_be_trained
from parity.ladder.findings import RULES
from parity.task.masks import MASK_KEY, choices

_WATCH = "_parity_watch"


class WatchedLearner:
    """Goes in front of a learner's class, and lets `LearnerWatch` look at what passes through its methods."""

    # For parity's fast learners: whoever overrides their methods here leaves them as they are.
    only_looks = True

    def update(self, *args: Any, **kwargs: Any) -> Any:
        watch = of(self)
        watch.safely(watch.begin, kwargs.get("timesteps") or {})
        try:
            result = super().update(*args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            for sentence in watch.safely(watch.sentences) or []:
                error.add_note(sentence)
            raise
        watch.safely(watch.end)
        return result

    def _make_batch_if_necessary(self, training_data: Any) -> Any:
        watch = of(self)
        with watch.hearing_values():
            batch = super()._make_batch_if_necessary(training_data)  # type: ignore[misc]
        watch.safely(watch.see_batch, batch, training_data.episodes or [])
        return batch

    def _update(self, batch: Any, **kwargs: Any) -> Any:
        watch = of(self)
        if watch.next_minibatch():
            watch.safely(watch.see_masks, batch)
        return super()._update(batch, **kwargs)  # type: ignore[misc]

    def looks_at(self, number: int) -> bool:
        return of(self).looks_at(number)

    def compute_losses(self, *, fwd_out: Any, batch: Any) -> Any:
        losses = super().compute_losses(fwd_out=fwd_out, batch=batch)  # type: ignore[misc]
        watch = of(self)
        if watch.is_looking:
            watch.safely(watch.see_outputs, fwd_out, batch)
        return losses

    def compute_gradients(self, loss_per_module: Any, **kwargs: Any) -> Any:
        gradients = super().compute_gradients(loss_per_module, **kwargs)  # type: ignore[misc]
        watch = of(self)
        if watch.is_looking:
            watch.safely(watch.see_gradients, gradients)
        return gradients


def of(learner: Any) -> LearnerWatch:
    known: LearnerWatch | None = vars(learner).get(_WATCH)
    if known is None:
        known = LearnerWatch(learner)
        setattr(learner, _WATCH, known)
    return known


def taken(learner: Any, **_: Any) -> LearnerFigures | None:
    """The figures of a learner's last update, once; None where there was none."""
    watch = vars(learner).get(_WATCH)
    return None if watch is None else watch.take()


class LearnerWatch:
    """Looks at one learner, update by update.

    Of the minibatches it looks at the first, eighth, sixty-fourth and so on: the first is the sampling policy's own, and later
    ones show how far an update went.
    """

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        self._figures = LearnerFigures()
        self._finished: LearnerFigures | None = None
        self._aside: str | None = None
        self._minibatch = 0
        self._timestep: int | None = None
        self._left: dict[str, dict[str, int]] = {}
        self._before: dict[str, dict[str, torch.Tensor]] = {}
        self._values: dict[str, torch.Tensor] = {}
        self._masks: dict[str, Any] = {}
        self.is_looking = False
        compiled = learner.config.torch_compile_learner
        self._sees_minibatches = not (
            compiled and "complete" in str(learner.config.torch_compile_learner_what_to_compile)
        )

    def safely(self, look: Callable[..., Any], *given: Any) -> Any:
        """Calls a look; one that raises is the last, and the training goes on."""
        if self._aside is not None:
            return None
        try:
            with torch.no_grad():
                return look(*given)
        except Exception as error:
            self._aside = f"{look.__name__}: {in_short(error)}"
            self.is_looking = False
            return None

    def take(self) -> LearnerFigures | None:
        if self._aside is not None:
            return LearnerFigures(aside=self._aside)
        finished, self._finished = self._finished, None
        return finished

    def sentences(self) -> list[str]:
        """What was wrong by the time that an update raised."""
        shown = seen_in(IterationFigures(0, 0, [self._figures]), [])
        errors = [each for each in shown if (each.severity or RULES[each.code].severity) == "error"]
        return [
            f"parity.watch: module {e.module}: {e.code} {RULES[e.code].title}: {e.message}. Fix: {e.fix or RULES[e.code].fix}"
            for e in sorted(errors, key=lambda e: e.code)[:1]
        ]

    def begin(self, timesteps: dict[str, Any]) -> None:
        learner = self._learner
        self._figures, self._minibatch, self._before = LearnerFigures(), 0, {}
        for module_id in learner.module.keys():  # noqa: SIM118
            module = learner.module[module_id].unwrapped()
            parameters = named_parameters(module)
            if not parameters or not may_be_trained(learner.config, module_id):
                continue
            figures = self._figures.modules[module_id] = ModuleFigures(type(module).__name__)
            figures.value_api = isinstance(module, ValueFunctionAPI | SelfSupervisedLossAPI)
            figures.sizes = {name: p.numel() for name, p in parameters.items()}
            self._add_settings(module_id, figures)
            left = self._left.get(module_id, {})
            now = {name: numbers.checksum(array(p)) for name, p in parameters.items()}
            figures.changed_between = [name for name, crc in now.items() if left.get(name, crc) != crc]
            figures.frozen = [name for name, p in parameters.items() if not p.requires_grad]
            self._before[module_id] = {n: p.detach().clone() for n, p in parameters.items() if p.requires_grad}
        self._timestep = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME)

    def _add_settings(self, module_id: str, figures: ModuleFigures) -> None:
        learner = self._learner
        config = learner.config.get_config_for_module(module_id)
        figures.grad_clip = config.grad_clip if config.grad_clip_by == "global_norm" else None
        for _, optimizer in learner.get_optimizers_for_module(module_id):
            rate = float(optimizer.param_groups[0]["lr"])
            schedule = learner._optimizer_lr_schedules.get(optimizer)
            configured = config.lr if schedule is None else schedule.get_current_value()
            if isinstance(configured, int | float | torch.Tensor) and not config._torch_lr_scheduler_classes:
                figures.lr = float(configured), rate
            steps = [int(state["step"]) for state in optimizer.state.values() if "step" in state]
            had = len(optimizer.state)
            figures.optimizer_steps = min(steps) if steps and had == len(steps) else 0
        coefficient = getattr(learner, "entropy_coeff_schedulers_per_module", {}).get(module_id)
        if coefficient is not None and self._timestep is not None:
            effective = float(coefficient.get_current_value())
            figures.entropy_coeff = scheduled(config.entropy_coeff, self._timestep), effective

    @contextlib.contextmanager
    def hearing_values(self) -> Iterator[None]:
        """Keeps what modules answer while the train batch is made: the values that advantages are computed from."""
        self._values, self._masks = {}, {}
        modules = (
            {} if self._aside is not None else {m: self._learner.module[m].unwrapped() for m in self._figures.modules}
        )
        replaced = []
        for module_id, module in modules.items():
            if "compute_values" not in vars(module) and hasattr(module, "compute_values"):
                module.compute_values = _Heard(self, module_id, module.compute_values)
                replaced.append(module)
        try:
            yield
        finally:
            for module in replaced:
                del module.compute_values

    def hear(self, module_id: str, compute_values: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
        """What a module answers for a batch."""
        # A module may take the mask out of the batch that it is given.
        self._masks[module_id] = self.safely(self._mask_of, module_id, batch)
        values = compute_values(batch, *args, **kwargs)
        self._values[module_id] = values
        return values

    def _mask_of(self, module_id: str, batch: Any) -> Any:
        """The mask's column, ``[..., n_logits]``; None where observations show none."""
        observations = batch.get(Columns.OBS)
        return observations.get(MASK_KEY) if isinstance(observations, dict) else None

    def _widths(self, module_id: str) -> list[int] | None:
        try:
            return choices(self._learner.module[module_id].unwrapped().action_space)
        except CannotStart:
            return None

    def see_batch(self, batch: Any, episodes: list[Any]) -> None:
        self._figures.terminated = sum(map(_is_terminated, episodes))
        for module_id, figures in list(self._figures.modules.items()):
            columns = batch.policy_batches.get(module_id)
            if columns is None or not self._learner.should_module_be_updated(module_id, batch):
                del self._figures.modules[module_id], self._before[module_id]
                continue
            self._see_columns(module_id, figures, columns)
        self._values = {}

    def _see_columns(self, module_id: str, figures: ModuleFigures, columns: Any) -> None:
        pair = (Postprocessing.ADVANTAGES, Postprocessing.VALUE_TARGETS)
        figures.missing = [name for name in pair if name not in columns]
        if figures.missing:
            return
        shape = tuple(columns[pair[1]].shape)
        real = array(columns[Columns.LOSS_MASK]).astype(bool) if Columns.LOSS_MASK in columns else np.ones(shape, bool)
        values = self._values.get(module_id)
        if type(self._learner._learner_connector.connectors[-1]) is not GeneralAdvantageEstimation:
            # Another piece makes the returns, maybe of values that the rollout brought.
            values = columns.get(Columns.VF_PREDS, values)
        whole = None if values is None or tuple(values.shape) != shape else array(values)
        advantages, targets, rewards = (array(columns[name]) for name in (*pair, Columns.REWARDS))
        numbers.add_returns(
            figures, advantages[real], targets[real], rewards[real], None if whole is None else whole[real]
        )
        config = self._learner.config.get_config_for_module(module_id)
        if whole is not None:
            if math.isfinite(config.vf_clip_param):
                figures.clamped = float(np.mean((targets - whole)[real] ** 2 > config.vf_clip_param))
            if targets.ndim == 1:
                self._see_ends(figures, columns, real, targets, whole, rewards)
        rows = np.flatnonzero(real)[numbers.sampled(int(real.sum()))]
        self._see_choices(module_id, figures, columns, rows, real.ndim)

    def _see_ends(
        self,
        figures: ModuleFigures,
        columns: Any,
        real: np.ndarray,
        targets: np.ndarray,
        values: np.ndarray,
        rewards: Any,
    ) -> None:
        terminated, cut = (array(columns[name]).astype(bool) for name in (Columns.TERMINATEDS, Columns.TRUNCATEDS))
        rows = real.copy()
        if real.all():
            # No rows were appended for bootstrapping: of a chunk's last row nobody shows what follows.
            rows = terminated | ~cut
            rows[-1] = terminated[-1]
        config = self._learner.config
        figures.gae_gap = numbers.gae_gap(targets, values, rewards, terminated, cut, rows, config.gamma, config.lambda_)

    def _see_choices(
        self, module_id: str, figures: ModuleFigures, columns: Any, rows: np.ndarray, leading: int
    ) -> None:
        widths = self._widths(module_id)
        masks = self._masks.get(module_id)
        if masks is None:
            masks = self._mask_of(module_id, columns)
        if widths is None or masks is None:
            return

        def of_rows(column: Any) -> np.ndarray:
            return array(take(column.reshape(-1, *column.shape[leading:]), rows))

        shown = of_rows(masks)
        total = sum(widths)
        if shown.ndim != 2 or shown.shape[1] != total:
            return
        shown = shown > 0
        numbers.add_masks(figures, shown, of_rows(columns[Columns.ACTIONS]), widths)
        logits = columns.get(Columns.ACTION_DIST_INPUTS)
        if logits is not None and logits.shape[-1] == total:
            figures.illegal_sampling = numbers.illegal_probability(of_rows(logits), shown, widths)

    def next_minibatch(self) -> bool:
        """Whether it is looked at."""
        self._minibatch += 1
        self.is_looking = self.looks_at(self._minibatch)
        return self.is_looking

    def looks_at(self, number: int) -> bool:
        return self._aside is None and self._sees_minibatches and numbers.is_looked_at(number)

    def see_masks(self, batch: Any) -> None:
        # Before the forward pass, which may take them out.
        self._masks = {m: self._mask_of(m, batch[m]) for m in self._figures.modules if m in batch}

    def see_outputs(self, fwd_out: Any, batch: Any) -> None:
        for module_id, figures in self._figures.modules.items():
            logits = fwd_out.get(module_id, {}).get(Columns.ACTION_DIST_INPUTS)
            columns = batch.get(module_id)
            if logits is None or columns is None or Columns.ACTION_LOGP not in columns:
                continue
            distribution = self._learner.module[module_id].unwrapped().get_train_action_dist_cls().from_logits(logits)
            logp, before = distribution.logp(columns[Columns.ACTIONS]), columns[Columns.ACTION_LOGP]
            real = (
                array(columns[Columns.LOSS_MASK]).astype(bool)
                if Columns.LOSS_MASK in columns
                else np.ones(logp.shape, bool)
            )
            if not real.any() or logp.shape != before.shape:
                continue
            first = self._minibatch == 1
            if first and WEIGHTS_SEQ_NO in columns:
                # An agent that waits for its next turn across an update comes with the weights that it acted by.
                acted_by = array(columns[WEIGHTS_SEQ_NO])
                real = real & (acted_by == acted_by[real].max())
            clip = self._learner.config.get_config_for_module(module_id).clip_param
            numbers.add_ratio(figures, array(logp)[real], array(before)[real], clip, first)
            widths = self._widths(module_id)
            if not first or widths is None or logits.shape[-1] != sum(widths):
                continue
            mask = self._masks.get(module_id)
            shown = array(mask)[real] > 0 if mask is not None and mask.shape == logits.shape else None
            numbers.add_entropy(figures, array(distribution.entropy())[real], shown, widths)
            if shown is not None:
                figures.illegal_training = numbers.illegal_probability(array(logits)[real], shown, widths)

    def see_gradients(self, gradients: Any) -> None:
        for module_id, figures in self._figures.modules.items():
            parameters = named_parameters(self._learner.module[module_id].unwrapped())
            by_name = {
                n: gradients.get(self._learner.get_param_ref(p)) for n, p in parameters.items() if p.requires_grad
            }
            arrived = norms(by_name)
            for name in by_name:
                figures.gradients.setdefault(name, []).append(arrived.get(name))
            figures.gradient_norms.append(math.sqrt(sum(v**2 for v in arrived.values())))

    def end(self) -> None:
        self.is_looking = False
        stepped = {id(p) for p in self._learner._params.values()}
        for module_id, figures in self._figures.modules.items():
            module = self._learner.module[module_id].unwrapped()
            parameters = named_parameters(module)
            figures.moved = largest_changes(parameters, self._before[module_id])
            figures.not_finite = [n for n, change in figures.moved.items() if not math.isfinite(change)]
            figures.orphans = [n for n, t in tensors_of(module) if t.grad is not None and id(t) not in stepped]
            figures.weights = {n: numbers.checksum(array(p)) for n, p in parameters.items()}
            self._left[module_id] = figures.weights
        self._before = {}
        self._finished = self._figures


def _is_terminated(episode: Any) -> bool:
    # One of the fast path would be made for this question alone.
    known = getattr(episode, "ended_terminated", None)
    return bool(getattr(episode, "is_terminated", False) if known is None else known)


def scheduled(value: Any, timestep: int) -> float:
    """A setting of RLlib's at a lifetime step: a number, or ``[[step, value], ...]`` with straight lines between."""
    if not isinstance(value, list | tuple):
        return float(value)
    steps, values = zip(*value, strict=True)
    return float(np.interp(timestep, steps, values))


@dataclasses.dataclass
class _Heard:
    """Stands in the place of a module's ``compute_values`` while a train batch is made."""

    watch: LearnerWatch
    module_id: str
    compute_values: Callable[..., Any]

    # For parity's fast learner, which may compute the same values another way.
    only_looks = True

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        return self.watch.hear(self.module_id, self.compute_values, batch, *args, **kwargs)

    def __deepcopy__(self, _: dict[int, Any]) -> _Heard:
        """A copy of the module is no copy of its learner."""
        return self
