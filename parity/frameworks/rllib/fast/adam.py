"""Adam's step on all parameters of an optimizer at once, the same bits as on one after the other."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

_OTHER = ("amsgrad", "maximize", "capturable", "differentiable", "weight_decay", "decoupled_weight_decay", "fused")
_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


@dataclasses.dataclass
class FlatAdam:
    """Steps a ``torch.optim.Adam`` by the operations of PyTorch's loop (``torch/optim/adam.py``, 2.13) on flat buffers.

    Parameters stay where they are, so that a module's forward pass sees them in the same memory. Moments and step counts
    are the optimizer's own, in its form, as views of the buffers: its ``state_dict`` is PyTorch's. Whoever exchanges them
    (``load_state_dict``) or the set of parameters that have a gradient is seen at the next step.
    """

    optimizer: torch.optim.Adam
    _parameters: list[torch.Tensor] = dataclasses.field(default_factory=list)
    _views: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = dataclasses.field(default_factory=list)
    _buffers: tuple[torch.Tensor, ...] = ()
    _denominators: list[torch.Tensor] = dataclasses.field(default_factory=list)

    @torch.no_grad()
    def step(self, parameters: list[torch.Tensor], gradient: torch.Tensor) -> None:
        """One step of the parameters that have a gradient.

        Args:
            parameters: those of the optimizer with a gradient, in its order.
            gradient: theirs, one after the other, ``[sum of sizes]``.
        """
        if not parameters:
            return
        if not is_plain(self.optimizer) or not (self._is_flat(parameters) or self._flatten(parameters)):
            self.optimizer.step()
            return
        steps, mean, square, denominator = self._buffers
        (group,) = self.optimizer.param_groups
        beta1, beta2 = group["betas"]
        steps.add_(1)
        count = float(steps[0])
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        torch.sqrt(square, out=denominator).div_(math.sqrt(1 - beta2**count)).add_(group["eps"])
        step_size = group["lr"] / (1 - beta1**count)
        torch._foreach_addcdiv_(parameters, [views[1] for views in self._views], self._denominators, -step_size)

    def _is_flat(self, parameters: list[torch.Tensor]) -> bool:
        if len(parameters) != len(self._parameters):
            return False
        state = self.optimizer.state
        return all(
            p is known
            and (of := state[p]).get("step") is views[0]
            and of["exp_avg"] is views[1]
            and of["exp_avg_sq"] is views[2]
            for p, known, views in zip(parameters, self._parameters, self._views, strict=True)
        )

    def _flatten(self, parameters: list[torch.Tensor]) -> bool:
        """Moves states into flat buffers; False where their kinds or numbers of steps differ, or they are on no CPU.

        On other devices ``torch.optim.Adam`` itself steps all of them at once.
        """
        state: Any = self.optimizer.state
        kinds = {(p.dtype, p.device.type, p.is_contiguous()) for p in parameters}
        if kinds != {(torch.float32, "cpu", True)}:
            return False
        states = [
            state[p]
            or {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
            for p in parameters
        ]
        if len({float(of["step"]) for of in states}) > 1:
            return False
        names = ("step", "exp_avg", "exp_avg_sq")
        buffers = [torch.cat([of[name].reshape(-1) for of in states]) for name in names]
        denominator = torch.empty_like(buffers[-1])
        self._buffers = (*buffers, denominator)
        shapes = [p.shape for p in parameters]
        split = denominator.split([p.numel() for p in parameters])
        self._denominators = [part.view(shape) for part, shape in zip(split, shapes, strict=True)]
        views: list[list[torch.Tensor]] = []
        for name, buffer in zip(names, buffers, strict=True):
            parts = buffer.split([of[name].numel() for of in states])
            views.append([part.view(of[name].shape) for part, of in zip(parts, states, strict=True)])
        self._views = list(zip(*views, strict=True))  # type: ignore[arg-type]
        self._parameters = list(parameters)
        for p, of_parameter in zip(parameters, self._views, strict=True):
            state[p].update(zip(names, of_parameter, strict=True))
        return True


def is_plain(optimizer: Any) -> bool:
    """Whether nothing but Adam's plain step happens at ``optimizer.step()``."""
    if type(optimizer) is not torch.optim.Adam or "step" in vars(optimizer) or len(optimizer.param_groups) != 1:
        return False
    (group,) = optimizer.param_groups
    numbers = all(isinstance(each, int | float) for each in (group["lr"], group["eps"], *group["betas"]))
    return numbers and not any(group.get(name) for name in _OTHER) and not any(vars(optimizer)[h] for h in _HOOKS)


def flat_gradient(parameters: list[torch.Tensor]) -> torch.Tensor | None:
    """Gradients one after the other, ``[sum of sizes]``; None where they are not all dense numbers of one kind."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if any(g.layout is not torch.strided or g.is_complex() for g in gradients):
        return None
    if len({(g.dtype, g.device) for g in gradients}) != 1:
        return None
    return torch.cat([g.reshape(-1) for g in gradients])
