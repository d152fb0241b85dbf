"""Minibatches of an update on a GPU as replays of one CUDA graph, whose kernels are launched at once.

Of a small network the update is bound by launches: forward pass, loss, backward pass, clipping and Adam are many short
kernels. A graph holds them, and reads everything that changes from buffers that keep their place: the train batch, the rows of
each minibatch, and the two numbers of Adam that depend on how many steps it has made. Nothing in it waits for the GPU; whether
every gradient was finite is asked once for all minibatches together.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import tree
from ray.rllib.core.rl_module.apis.self_supervised_loss_api import SelfSupervisedLossAPI
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch.distributions import Distribution

from parity.errors import in_short
from parity.frameworks.rllib.arrays import mapped
from parity.frameworks.rllib.fast.adam import is_plain

# Devices on which a step is captured. Elsewhere a step that is "replayed" would be computed as always.
DEVICES = ("cuda",)
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
# What the step reads of a configuration, once, when it is captured.
_SETTINGS = (
    "clip_param",
    "vf_clip_param",
    "vf_loss_coeff",
    "use_critic",
    "use_kl_loss",
    "grad_clip",
    "grad_clip_by",
)
_STATES = ("exp_avg", "exp_avg_sq")


class CapturedUpdate:
    """Deals a learner's minibatches, most of them done already.

    Attributes:
        left: why minibatches are computed one by one, a sentence's middle; None where they are not.
        losses: by module, of the minibatch that is done already; None where it is not.
    """

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        self._step: CapturedStep | None = None
        self._updates = 0
        self.left: str | None = None
        self.losses: dict[str, torch.Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A graph belongs to its process: it is captured anew.
        return vars(self) | {"_step": None}

    @property
    def is_capturing(self) -> bool:
        """Whether the learner computes a step that is to be replayed."""
        return isinstance(self._learner.metrics, _Logged)

    def dealt(self, minibatches: Any) -> Iterator[MultiAgentBatch]:
        """The minibatches of a `RowMinibatches` or `ExactMinibatches`, in their order."""
        batches = minibatches.batch.policy_batches
        self.losses = None
        # The first update finds out which parameters have gradients, and what PyTorch sets up at first use.
        self.left = self.left or _refusal(self._learner, batches)
        self._updates += 1
        if self._updates == 1 or self.left is not None:
            yield from minibatches
            return
        chosen = list(minibatches.chosen())
        step = self._prepared(batches, chosen)
        number = 0
        while number < len(chosen):
            end = number if step is None else self._end(chosen, number, step)
            if step is not None and end > number and self._replayed(step, number, end):
                self.losses = step.losses
                for each in chosen[number:end]:
                    yield _done(each, len(minibatches.batch))
                self.losses = None
            else:
                step, end = self._step, max(end, number + 1)
                for index in range(number, end):
                    yield minibatches.minibatch(chosen[index], is_last=index + 1 == len(chosen))
            number = end

    def _end(self, chosen: list[Any], number: int, step: CapturedStep) -> int:
        """Where the minibatches that may be replayed from ``number`` on end."""
        end = number
        while end < len(chosen) and step.takes(chosen[end]) and not self._learner.looks_at(end + 1):
            end += 1
        return end

    def _prepared(self, batches: dict[str, Any], chosen: list[Any]) -> CapturedStep | None:
        try:
            if self._step is None or not self._step.fits(batches, chosen):
                self._step = CapturedStep(self._learner, batches, chosen)
            self._step.load(batches, chosen)
        except Exception as error:  # whatever a module does that a graph cannot hold
            self._step, self.left = None, f"its step cannot be captured: {in_short(error)}"
        return self._step

    def _replayed(self, step: CapturedStep, number: int, end: int) -> bool:
        """Whether the minibatches are done; where not, everything is as it was before."""
        finite, alike = step.replay(number, end)
        if not alike:
            self._step, self.left = None, "a module's forward pass gives other numbers than when it was captured"
        return finite and alike


def _done(chosen: dict[str, Any], env_steps: int) -> MultiAgentBatch:
    return MultiAgentBatch({m: SampleBatch({"rows": rows}) for m, rows in chosen.items()}, env_steps)


def _refusal(learner: Any, batches: dict[str, Any]) -> str | None:
    """What a graph cannot hold of a learner."""
    for module_id in batches:
        module = learner.module[module_id].unwrapped()
        config = learner.config.get_config_for_module(module_id)
        if isinstance(module, SelfSupervisedLossAPI):
            return f"module {module_id} computes its own loss"
        if next(module.buffers(), None) is not None:
            return f"module {module_id} has buffers, which a forward pass may change"
        if any(getattr(part, name) for part in module.modules() for name in _HOOKS):
            return f"module {module_id} has hooks"
        if learner.entropy_coeff_schedulers_per_module[module_id].use_schedule:
            return "the entropy coefficient has a schedule"
        if config.grad_clip and config.grad_clip_by == "norm":
            return 'grad_clip_by is "norm"'
        if learner.may_stop(module_id):
            return "target_kl may end an update at any minibatch"
    for optimizer in learner._named_optimizers.values():
        if not is_plain(optimizer):
            return "an optimizer is not plain Adam"
        steps = {float(of["step"]) for of in optimizer.state.values()}
        if len(steps) > 1:
            return "parameters of one optimizer have made different numbers of steps"
    return None


class CapturedStep:
    """One minibatch's step: captured at the first `load`, and computed by `replay` for minibatches of the same shapes."""

    def __init__(self, learner: Any, batches: dict[str, Any], chosen: list[Any]) -> None:
        self._learner = learner
        self._device = learner._device
        self._sizes = Counter(map(_sizes, chosen)).most_common(1)[0][0]
        # Rows and minibatches differ from update to update where RLlib appends a row to each episode.
        self._columns = {
            m: tree.map_structure(lambda c: c.new_zeros((len(c) * 5 // 4, *c.shape[1:])), dict(batch))
            for m, batch in batches.items()
        }
        self._most = len(chosen) * 5 // 4 + 1
        self._rows = {m: torch.zeros((self._most, size), dtype=torch.int64) for m, size in self._sizes}
        self._rows_there = {m: rows.to(self._device) for m, rows in self._rows.items()}
        named = [(name, o) for name, o in learner._named_optimizers.items() if o.state]
        self._optimizers = [optimizer for _, optimizer in named]
        self._trains = [learner._optimizer_name_to_module[name] for name, _ in named]
        self._stepped = [[p for p in o.state if p.requires_grad] for o in self._optimizers]
        self._moments = [
            [[o.state[p][s] for p in o.state if p.requires_grad] for s in _STATES] for o in self._optimizers
        ]
        self._made_of = self._parts()
        self._adam = torch.zeros((self._most, 2 * len(self._optimizers)), device=self._device)
        self._live = [t for group in (*self._stepped, *(m for each in self._moments for m in each)) for t in group]
        self._before = [torch.empty_like(t, requires_grad=False) for t in self._live]
        self._number = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._all_finite = torch.ones((), dtype=torch.bool, device=self._device)
        self._run: Callable[[], None] | None = None
        self._logged: list[Callable[[], Any]] = []
        self.losses: dict[str, torch.Tensor] = {}

    def takes(self, chosen: dict[str, Any]) -> bool:
        return _sizes(chosen) == self._sizes

    def fits(self, batches: dict[str, Any], chosen: list[Any]) -> bool:
        """Whether a train batch has the shapes of this step, and everything lies where it was captured."""
        if len(chosen) > self._most or batches.keys() != self._columns.keys() or self._parts() != self._made_of:
            return False
        for module_id, batch in batches.items():
            ours, theirs = self._columns[module_id], dict(batch)
            try:
                tree.assert_same_structure(ours, theirs)
            except (TypeError, ValueError):
                return False
            for a, b in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
                if a.dtype != b.dtype or a.shape[1:] != b.shape[1:] or len(a) < len(b):
                    return False
        return True

    def _parts(self) -> list[Any]:
        """What a captured step has made its own: where tensors lie, and settings."""
        learner = self._learner
        parts: list[Any] = []
        for optimizer in learner._named_optimizers.values():
            (group,) = optimizer.param_groups
            parts += [group["betas"], group["eps"]]
            parts += [
                (p.data_ptr(), p.requires_grad, *(of[s].data_ptr() for s in _STATES))
                for p, of in optimizer.state.items()
            ]
        for module_id, _ in self._sizes:
            config = learner.config.get_config_for_module(module_id)
            parts += [module_id, *(getattr(config, name) for name in _SETTINGS)]
            parts.append(float(learner.entropy_coeff_schedulers_per_module[module_id].get_current_value()))
            parts.append(learner.curr_kl_coeffs_per_module[module_id].data_ptr())
        return parts

    def load(self, batches: dict[str, Any], chosen: list[Any]) -> None:
        """Brings an update's rows and numbers where the step reads them, and captures the step if it is new."""
        for module_id, batch in batches.items():
            tree.map_structure(lambda to, c: to[: len(c)].copy_(c), self._columns[module_id], dict(batch))
        adam = torch.zeros(self._adam.shape)
        counts = [float(o.state[p[0]]["step"]) for o, p in zip(self._optimizers, self._stepped, strict=True)]
        for number, each in enumerate(chosen):
            if self.takes(each):
                for module_id, rows in each.items():
                    self._rows[module_id][number] = torch.as_tensor(rows)
            for i, optimizer in enumerate(self._optimizers):
                (group,) = optimizer.param_groups
                beta1, beta2 = group["betas"]
                counts[i] += self._trains[i] in each
                adam[number, 2 * i] = math.sqrt(1 - beta2 ** counts[i])
                adam[number, 2 * i + 1] = -group["lr"] / (1 - beta1 ** counts[i])
        self._adam.copy_(adam)
        for module_id, rows in self._rows.items():
            self._rows_there[module_id].copy_(rows)
        if self._run is None:
            try:
                self._run = recorded(self._compute, self._device)
            finally:
                for parameter in self._learner._params.values():
                    parameter.grad = None  # of no use where it lies

    def replay(self, number: int, end: int) -> tuple[bool, bool]:
        """Makes the steps of minibatches ``number`` to ``end``, unless something is wrong: then none of them.

        Returns:
            Whether all gradients were finite; whether the first minibatch's loss is what the modules say now.
        """
        assert self._run is not None
        torch._foreach_copy_(self._before, self._live)
        self._number.fill_(number)
        self._all_finite.fill_(True)
        with torch.no_grad(), torch.random.fork_rng(_indices(self._device)), self._logging_aside():
            expected = sum(self._losses(self._batch()).values())
        self._run()
        loss = sum(self.losses.values())
        unlike = (loss - expected).abs() > 1e-3 * (1 + expected.abs())  # type: ignore[union-attr]
        for _ in range(number + 1, end):
            self._run()
        finite, differs = torch.stack([self._all_finite, unlike]).tolist()
        if differs or not finite:
            with torch.no_grad():
                torch._foreach_copy_(self._live, self._before)
            return finite, not differs
        for optimizer, parameters in zip(self._optimizers, self._stepped, strict=True):
            torch._foreach_add_([optimizer.state[p]["step"] for p in parameters], float(end - number))
        for log in self._logged:
            log()
        return True, True

    def _compute(self) -> None:
        """One minibatch's step, and on to the next one."""
        learner = self._learner
        with self._logging_aside() as logged:
            batch = self._batch()
            learner._compute_off_policyness(batch)
            losses = self._losses(batch)
            parameters = [p for group in self._stepped for p in group]
            given = torch.autograd.grad(list(losses.values()), parameters, allow_unused=True)
            gradients = {p: g for p, g in zip(parameters, given, strict=True) if g is not None}
            norms = torch.stack(torch._foreach_norm(list(gradients.values())))
            self._all_finite.logical_and_(norms.isfinite().all())
            gradients = learner.postprocess_gradients({learner.get_param_ref(p): g for p, g in gradients.items()})
        with torch.no_grad():
            factors = self._adam.index_select(0, self._number)[0]
            for i, optimizer in enumerate(self._optimizers):
                self._step_adam(i, optimizer, gradients, factors[2 * i], factors[2 * i + 1])
            self._number.add_(1)
        self.losses = {m: loss.detach() for m, loss in losses.items()}
        self._logged = logged.calls

    def _step_adam(self, i: int, optimizer: Any, gradients: Any, correction: torch.Tensor, size: torch.Tensor) -> None:
        """Adam's step (``torch/optim/adam.py``, ``_multi_tensor_adam``), its two changing numbers read from the device."""
        (group,) = optimizer.param_groups
        beta1, beta2 = group["betas"]
        has = [gradients.get(self._learner.get_param_ref(p)) is not None for p in self._stepped[i]]
        parameters, means, squares = (
            [t for t, there in zip(each, has, strict=True) if there] for each in (self._stepped[i], *self._moments[i])
        )
        if not parameters:
            return
        given = [gradients[self._learner.get_param_ref(p)] for p in parameters]
        torch._foreach_lerp_(means, given, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, given, given, 1 - beta2)
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_div_(denominators, correction)
        torch._foreach_add_(denominators, group["eps"])
        moves = torch._foreach_div(means, denominators)
        torch._foreach_mul_(moves, size)
        torch._foreach_add_(parameters, moves)

    def _batch(self) -> dict[str, Any]:
        rows = {m: there.index_select(0, self._number)[0] for m, there in self._rows_there.items()}
        return {
            m: SampleBatch(mapped(functools.partial(torch.index_select, dim=0, index=rows[m]), columns))
            for m, columns in self._columns.items()
        }

    def _losses(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        learner = self._learner
        with _unvalidated():
            fwd_out = learner.module.forward_train(batch)
            return {
                module_id: learner.captured_loss(
                    module_id=module_id,
                    config=learner.config.get_config_for_module(module_id),
                    batch=batch[module_id],
                    fwd_out=outputs,
                )
                for module_id, outputs in fwd_out.items()
            }

    @contextlib.contextmanager
    def _logging_aside(self) -> Iterator[_Logged]:
        """Inside, what the learner logs is kept."""
        metrics, kept = self._learner.metrics, _Logged(self._learner)
        self._learner.metrics = kept
        try:
            yield kept
        finally:
            self._learner.metrics = metrics


class _Logged:
    """Keeps what is logged, to log it whenever the tensors in it have new values."""

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        self.calls: list[Callable[[], Any]] = []

    def later(self, what: Any, log: Callable[[], Any]) -> None:
        self.calls.append(lambda: self._learner.metrics.later(what, log))

    def log_value(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(lambda: self._learner.metrics.log_value(*args, **kwargs))

    def log_dict(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(lambda: self._learner.metrics.log_dict(*args, **kwargs))


def recorded(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A function that launches all kernels of a step at once; elsewhere than on a GPU the step itself."""
    if device.type != "cuda":
        return step
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@contextlib.contextmanager
def _unvalidated() -> Iterator[None]:
    """Inside, PyTorch's distributions do not ask the GPU whether their arguments are valid."""
    before = Distribution._validate_args  # type: ignore[attr-defined]
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def _sizes(chosen: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((module_id, len(rows)) for module_id, rows in chosen.items())


def _indices(device: torch.device) -> list[int]:
    return [torch.cuda.current_device()] if device.type == "cuda" else []
