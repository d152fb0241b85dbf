"""Modules act on a batch of observations: RLlib's two pipelines around the forward pass, without what is undone again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.utils.numpy import convert_to_numpy

from parity.frameworks.rllib.arrays import mapped
from parity.frameworks.rllib.distributions import MASKED_LOGIT, TorchMaskedCategorical
from parity.frameworks.rllib.exact.returns import containers, may_be_trained
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.frameworks.rllib.versions import TorchCategorical
from parity.task.masks import MASK_KEY

Observations = dict[str, Any]
"""Module id -> observations ``[B, …]`` in the containers of one."""
Outputs = dict[str, dict[str, Any]]
"""Module id -> column -> values ``[B, …]``."""

_NARROW = {"d": np.float32, "e": np.float32, "l": np.int32}

Added = Callable[[str, dict[str, Any], dict[str, Any]], None]
"""``(module_id, columns, output)``: adds to what a module returned, before actions are chosen where it has none."""


class Actor:
    """Chooses actions by RLlib's random stream: the same numbers as RLlib's own pipelines give, to the last bit.

    Args:
        module: the env runner's.
        config: the env runner's.
        device: where ``module`` is.
        added: called for each module's output.
        with_values: whether modules that compute values anyway, and would keep them to themselves, are asked for them.

    Attributes:
        asked_for_values: the modules that return ``vf_preds`` because of that.
        forced: the modules with one action, of whose observations the mask alone is read.
    """

    def __init__(
        self,
        module: MultiRLModule,
        config: Any,
        device: Any,
        added: Added | None = None,
        with_values: bool = False,
    ) -> None:
        self._module, self._device, self._added = module, device, added
        kind = type(module)
        # A MultiRLModule of the user's own may let its modules see one another.
        self._one_by_one = kind.forward_exploration is MultiRLModule.forward_exploration and (
            kind._forward_exploration is MultiRLModule._forward_exploration
        )
        self.forced = {
            module_id
            for module_id in module.keys()  # noqa: SIM118  (a MultiRLModule is not iterable)
            if self._one_by_one and not may_be_trained(config, module_id) and has_one_action(module[module_id])
        }
        self.asked_for_values = {
            module_id
            for module_id in module.keys()  # noqa: SIM118
            if with_values and self._one_by_one and _keeps_its_values(module[module_id])
        }

    def act(self, observations: Observations, t: int) -> Outputs:
        """Outputs of ``forward_exploration``, actions and their log-probabilities, as arrays."""
        columns = {module_id: {Columns.OBS: self.tensors(seen)} for module_id, seen in observations.items()}
        if self._one_by_one:
            outputs = {module_id: self._forward(module_id, given, t) for module_id, given in columns.items()}
        else:
            outputs = self._module.forward_exploration(containers(columns), t=t)
        for module_id, output in outputs.items():
            if self._added is not None:
                self._added(module_id, columns[module_id], output)
            if Columns.ACTIONS not in output and Columns.ACTION_DIST_INPUTS in output:
                if module_id in self.forced:
                    _draw_the_only_one(output)
                else:
                    _draw(self._module[module_id], output)
        return {
            module_id: {name: _array(part) for name, part in output.items()} for module_id, output in outputs.items()
        }

    def tensors(self, observations: Any) -> Any:
        """A copy as tensors on the modules' device, float64 as float32 (``convert_to_torch_tensor``'s rule)."""

        def tensor(array: np.ndarray) -> torch.Tensor:
            made = torch.from_numpy(array.copy())
            if made.dtype is torch.float64:
                made = made.float()
            return made.to(self._device)

        return mapped(tensor, observations)

    def _forward(self, module_id: str, columns: dict[str, Any], t: int) -> dict[str, Any]:
        module = self._module[module_id]
        if module_id in self.forced:
            mask = columns[Columns.OBS][MASK_KEY]
            # Log-probability of the only action, 0, with its mask: what `mask_logits` makes of one logit, whatever it is.
            return {Columns.ACTION_DIST_INPUTS: torch.where(mask.bool(), 0.0, MASKED_LOGIT).to(torch.float32)}
        given = containers(columns)
        if (
            not getattr(module, "training", True)
            and type(module).forward_exploration is TorchRLModule.forward_exploration
        ):
            # It only puts the module into evaluation mode around this call, all its parts one by one.
            if module_id in self.asked_for_values:
                return module._forward_exploration(given, t=t, vf_preds=True)
            return module._forward_exploration(given, t=t)
        return module.forward_exploration(given, t=t)


def has_one_action(module: Any) -> bool:
    """Whether it is parity's own module with one action, whose outputs do not depend on its network."""
    return type(module) is SharedNetworkModule and getattr(module.action_space, "n", None) == 1


def _keeps_its_values(module: Any) -> bool:
    """Whether it is parity's own module, whose forward pass computes values too, and was not configured to return them."""
    return type(module) is SharedNetworkModule and not module.model_config.get("vf_preds", False)


def _array(part: Any) -> Any:
    """``convert_to_numpy``, which makes float64 float32 and int64 int32, without its walk through containers."""
    if type(part) is not torch.Tensor or part.requires_grad or not part.is_cpu:
        return convert_to_numpy(part)
    array = part.numpy()
    narrow = _NARROW.get(array.dtype.char)
    return array if narrow is None else array.astype(narrow)


def _draw_the_only_one(output: dict[str, Any]) -> None:
    """What `_draw` gives where there is one action, after the same draws."""
    inputs = output[Columns.ACTION_DIST_INPUTS]
    # torch.multinomial's.
    torch.empty_like(inputs).exponential_()
    output[Columns.ACTIONS] = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
    output.setdefault(Columns.ACTION_LOGP, torch.zeros(len(inputs), device=inputs.device))


def _draw(module: Any, output: dict[str, Any]) -> None:
    """Samples actions and their log-probabilities, as RLlib's ``GetActions``."""
    inputs = output[Columns.ACTION_DIST_INPUTS]
    kind = module.get_exploration_action_dist_cls()
    if kind in (TorchCategorical, TorchMaskedCategorical) and inputs.ndim == 2:
        # torch.distributions.Categorical's operations, without its checks and its objects.
        logits = inputs - inputs.logsumexp(dim=-1, keepdim=True)
        actions = torch.multinomial(torch.softmax(logits, dim=-1), 1, True)
        output[Columns.ACTIONS] = actions.squeeze(-1)
        if Columns.ACTION_LOGP not in output:
            output[Columns.ACTION_LOGP] = logits.gather(-1, actions).squeeze(-1)
        return
    distribution = kind.from_logits(inputs)
    output[Columns.ACTIONS] = distribution.sample()
    if Columns.ACTION_LOGP not in output:
        output[Columns.ACTION_LOGP] = distribution.logp(output[Columns.ACTIONS])
