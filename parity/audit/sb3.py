"""`WatchCallback`: Stable-Baselines3's PPO and sb3-contrib's MaskablePPO, watched."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from parity.audit import numbers
from parity.audit.diary import LOG, Diary, OnError, TrainingStopped, scalars
from parity.audit.figures import IterationFigures, LearnerFigures, ModuleFigures, RunnerFigures
from parity.audit.numbers import STARTS, STARTS_OF_EACH
from parity.audit.tensors import largest_changes, norms, tensors_of
from parity.errors import CannotStart, in_short
from parity.task.masks import choices

MODULE = "policy"
# Updates from one search for tensors that no optimiser steps to the next.
ORPHANS_EVERY = 4


class WatchCallback(BaseCallback):
    """Says what goes wrong in a training, and since when; ``model.learn(..., callback=WatchCallback())``.

    Args:
        folder: where ``watch.jsonl`` goes; left out, the folder of the model's logger, and without one only the log. Scalars
            under ``parity/`` go to the model's own logger, or to the folder where that logs nothing.
        on_error: ``"stop"`` ends ``learn`` with `parity.audit.diary.TrainingStopped` at the first error.
        declared: code -> reason, of what is wanted as it is: told as info.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        on_error: OnError = "warn",
        declared: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._folder, self._on_error, self._declared = folder, on_error, dict(declared or {})
        self._diary: Diary | None = None
        self._update: _Update | None = None
        self._runner = RunnerFigures(0)
        self._iteration = 0
        self._aside = False

    def _on_training_start(self) -> None:
        self._safely(self._open)

    def _open(self) -> None:
        model: Any = self.model
        folder = self._folder or model.logger.get_dir()
        self._diary = Diary(
            Path(folder) if folder else None, self._on_error, self._declared, board=not model.logger.output_formats
        )
        self._diary.open(f"{type(model).__name__} from step {model.num_timesteps}")
        self._iteration = model.num_timesteps // (model.n_steps * model.n_envs)  # of one that goes on
        self._update = _Update(model, self._safely)

    # Nothing is looked at step by step, which costs the most: the rollout buffer has it all.
    def update_locals(self, locals_: dict[str, Any]) -> None: ...

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        # SB3 says so as well when an update has ended.
        self._safely(self._look)

    def _on_rollout_end(self) -> None:
        if self._update is not None:
            self._safely(self._see_rollout)

    def _on_training_end(self) -> None:
        self._safely(self._look)
        if self._update is not None:
            self._update.leave()
        if self._diary is not None:
            self._diary.close()

    def _see_rollout(self) -> None:
        assert self._update is not None
        self._runner = RunnerFigures(0, starts=_starts(self.model.rollout_buffer))  # type: ignore[attr-defined]
        self._update.see_rollout()

    def _look(self) -> None:
        assert self._update is not None and self._diary is not None
        figures = self._update.taken()
        if figures is None:
            return
        self._iteration += 1
        now = IterationFigures(
            self._iteration, self.model.num_timesteps, [LearnerFigures({MODULE: figures})], [self._runner]
        )
        self._diary.take(now)
        for name, value in scalars(now).items():
            self.logger.record(name, value)

    def _safely(self, look: Callable[..., Any], *given: Any) -> None:
        if self._aside:
            return
        try:
            with torch.no_grad():
                look(*given)
        except TrainingStopped:
            raise
        except Exception as error:
            self._aside = True
            if self._update is not None:
                self._update.leave()
            LOG.warning("parity.watch: PAR930 watching has stepped aside, the training goes on: %s", in_short(error))


def _starts(buffer: Any) -> list[list[int]]:
    """Of each sub-environment, checksums of what the first episodes of a rollout begin with."""
    begins = np.asarray(buffer.episode_starts).astype(bool)  # [n_steps, n_envs]
    most = max(STARTS_OF_EACH, STARTS // begins.shape[1])
    parts = list(buffer.observations.values()) if isinstance(buffer.observations, dict) else [buffer.observations]
    return [
        [numbers.observation_checksum([part[row, i] for part in parts]) for row in np.flatnonzero(column)[:most]]
        for i, column in enumerate(begins.T)
    ]


class _InFront:
    """Stands in front of a method of an object; whoever stores the object stores the method alone."""

    def __init__(self, owner: Any, name: str, call: Callable[..., Any]) -> None:
        self._owner, self._name, self._call = owner, name, call
        self._method = getattr(owner, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self._method, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._owner, self._name)


class _Update:
    """Looks at a model's rollout buffer, minibatches, gradients and steps, until `leave`."""

    def __init__(self, model: Any, safely: Callable[..., None]) -> None:
        self._model, self._safely = model, safely
        self._figures: ModuleFigures | None = None
        self._before: dict[str, torch.Tensor] = {}
        self._left: dict[str, int] = {}
        self._changed: list[str] = []
        self._versions: dict[str, int] = {}
        self._stepping: dict[str, torch.nn.Parameter] = {}
        self._minibatch = 0
        self._data: Any = None
        self._late: tuple[Any, Any] | None = None
        self._widths = _widths(model.action_space)
        self._configured_entropy = float(model.ent_coef)
        self._updates = 0
        self._known: list[int] = []
        self._orphans: list[str] = []
        self._hooks: list[Any] = []
        self._follow(model.policy.optimizer)
        self._replaced = [(model.rollout_buffer, "get"), (model.policy, "evaluate_actions")]
        model.rollout_buffer.get = _InFront(model.rollout_buffer, "get", self._get)
        model.policy.evaluate_actions = _InFront(model.policy, "evaluate_actions", self._evaluate)

    def _get(self, get: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for data in get(*args, **kwargs):
            self._data, self._minibatch = data, self._minibatch + 1
            yield data

    def _evaluate(self, evaluate: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = evaluate(*args, **kwargs)
        if self._is_looking and self._data is not None:
            self._safely(self._see_outputs, answer, kwargs.get("action_masks"), self._data)
            self._data = None  # somebody may evaluate once more
        return answer

    def leave(self) -> None:
        """Takes everything back that was put in the way."""
        for hook in self._hooks:
            hook.remove()
        for owner, name in self._replaced:
            vars(owner).pop(name, None)
        self._replaced = []

    def _follow(self, optimizer: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        self._optimizer = optimizer
        self._hooks = [
            optimizer.register_step_pre_hook(self._at_step),
            optimizer.register_step_post_hook(self._stepped),
        ]

    def _stepped(self, *_: Any) -> None:
        """Remembers how the update leaves parameters: others may change them before this is told of its end."""
        self._versions = {name: p._version for name, p in self._stepping.items()}

    @property
    def _is_looking(self) -> bool:
        return self._figures is not None and numbers.is_looked_at(self._minibatch)

    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self._model.policy.named_parameters() if p.requires_grad}

    def see_rollout(self) -> None:
        model, buffer = self._model, self._model.rollout_buffer
        figures = self._figures = ModuleFigures(type(model.policy).__name__)
        advantages, targets, rewards, values = (
            np.asarray(each) for each in (buffer.advantages, buffer.returns, buffer.rewards, buffer.values)
        )
        numbers.add_returns(
            figures, advantages.reshape(-1), targets.reshape(-1), rewards.reshape(-1), values.reshape(-1)
        )
        # Column behind column: all rows but each one's last have a next one; before a start the bootstrap is in the reward.
        ends, rows = np.zeros_like(targets, bool), np.ones_like(targets, bool)
        ends[:-1], rows[-1] = np.asarray(buffer.episode_starts)[1:], False
        in_columns = (each.T.reshape(-1) for each in (targets, values, rewards, ends, np.zeros_like(ends), rows))
        figures.gae_gap = numbers.gae_gap(*in_columns, model.gamma, model.gae_lambda)  # type: ignore[call-arg, arg-type]
        self._see_choices(figures, buffer)
        figures.grad_clip = model.max_grad_norm
        optimizer = model.policy.optimizer
        if optimizer is not self._optimizer:
            self._follow(optimizer)
        steps = [int(state["step"]) for state in optimizer.state.values() if "step" in state]
        figures.optimizer_steps = min(steps, default=0)
        figures.entropy_coeff = self._configured_entropy, float(model.ent_coef)
        named = dict(model.policy.named_parameters())
        parameters = self._stepping = {name: p for name, p in named.items() if p.requires_grad}
        figures.sizes = {name: p.numel() for name, p in parameters.items()}
        figures.frozen = [name for name in named if name not in parameters]
        now = {name: numbers.checksum(p.detach().cpu().numpy()) for name, p in parameters.items()}
        figures.changed_between = [
            name for name, crc in now.items() if self._left.get(name, crc) != crc or name in self._changed
        ]
        self._before = {name: p.detach().clone() for name, p in parameters.items()}
        self._minibatch = 0

    def _see_choices(self, figures: ModuleFigures, buffer: Any) -> None:
        masks, widths = getattr(buffer, "action_masks", None), self._widths
        if masks is None or widths is None:
            return
        masks = np.asarray(masks).reshape(-1, sum(widths))
        rows = numbers.sampled(len(masks))
        actions = np.asarray(buffer.actions).reshape(len(masks), -1)
        numbers.add_masks(figures, masks[rows] > 0, actions[rows], widths)

    def _see_outputs(self, answer: Any, action_masks: Any, data: Any) -> None:
        assert self._figures is not None
        _, logp, entropy = answer
        if self._minibatch > 1:
            self._late = logp.detach(), data.old_log_prob  # only the last one's are told
            return
        self._add_ratio(logp, data.old_log_prob, first=True)
        widths = self._widths
        if widths is not None and entropy is not None:
            masks = None if action_masks is None else _array(action_masks).reshape(len(logp), -1) > 0
            numbers.add_entropy(self._figures, _array(entropy), masks, widths)

    def _add_ratio(self, logp: Any, before: Any, first: bool) -> None:
        assert self._figures is not None
        clip = self._model.clip_range(self._model._current_progress_remaining)
        numbers.add_ratio(self._figures, _array(logp), _array(before), float(clip), first)

    def _at_step(self, optimizer: Any, *_: Any) -> None:
        if self._is_looking:
            self._safely(self._see_gradients, optimizer)

    def _see_gradients(self, optimizer: Any) -> None:
        figures = self._figures
        assert figures is not None
        by_name = {name: p.grad for name, p in self._stepping.items()}
        arrived = norms(by_name)
        for name in by_name:
            figures.gradients.setdefault(name, []).append(arrived.get(name))
        # SB3 has clipped them by now: a norm at the limit was above it.
        figures.gradient_norms.append(math.sqrt(sum(v**2 for v in arrived.values())) * (1 + 1e-4))
        schedule = self._model.lr_schedule(self._model._current_progress_remaining)
        figures.lr = float(schedule), float(optimizer.param_groups[0]["lr"])

    def taken(self) -> ModuleFigures | None:
        """The figures of the update that has ended; None where there was none."""
        figures = self._figures
        if figures is None:
            return None
        if self._late is not None:
            self._add_ratio(*self._late, first=False)
        self._figures = self._late = None
        parameters = self._parameters()
        self._changed = [n for n, p in parameters.items() if self._versions.get(n, p._version) != p._version]
        figures.moved = largest_changes(parameters, self._before)
        figures.not_finite = [name for name, change in figures.moved.items() if not math.isfinite(change)]
        figures.orphans = self._orphans_now([id(p) for p in self._stepping.values()])
        figures.weights = {name: numbers.checksum(p.detach().cpu().numpy()) for name, p in parameters.items()}
        self._left, self._before = figures.weights, {}
        return figures

    def _orphans_now(self, parameters: list[int]) -> list[str]:
        """Looked for where an update began with other parameters, and else now and then: it goes through every object."""
        if parameters != self._known or self._updates % ORPHANS_EVERY == 0:
            stepped = {id(p) for group in self._model.policy.optimizer.param_groups for p in group["params"]}
            shown = tensors_of(self._model.policy)
            self._orphans = [name for name, t in shown if t.grad is not None and id(t) not in stepped]
        self._known, self._updates = parameters, self._updates + 1
        return self._orphans


def _widths(space: Any) -> list[int] | None:
    try:
        return choices(space)
    except CannotStart:
        return None


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
