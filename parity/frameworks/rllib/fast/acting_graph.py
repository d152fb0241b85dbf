"""Convolutions that act on a GPU: a step's copies and forward pass as one CUDA graph.

RLlib's local env runner is on the CPU, where a forward pass of an image network for a few sub-environments is most of a step.
With a learner on a GPU in the same process the network is computed there, on a copy with the env runner's weights; logits come
back, and actions are drawn from them on the CPU, from RLlib's own random stream. Logits differ by the last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import tree

from parity.frameworks.rllib.arrays import duplicate
from parity.frameworks.rllib.fast import captured
from parity.frameworks.rllib.module import SharedNetworkModule

_CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


class ActingGraphs:
    """Of an env runner, kept from rollout to rollout; renewed when shapes or modules change."""

    def __init__(self, config: Any) -> None:
        here = config.num_env_runners == 0 and config.num_learners == 0
        on_gpu = here and config.num_gpus_per_learner > 0 and torch.cuda.is_available()
        self.device = torch.device("cuda") if on_gpu and "cuda" in captured.DEVICES else None
        self._of: dict[str, _ActingGraph | None] = {}
        self._fresh: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # A graph belongs to its process; what cannot be captured cannot be in the next one either.
        return vars(self) | {"_of": {module_id: None for module_id, graph in self._of.items() if graph is None}}

    def begin(self) -> None:
        """Says that weights may have changed."""
        self._fresh.clear()

    def forward(self, module_id: str, module: Any, columns: dict[str, Any], t: int) -> dict[str, Any] | None:
        """What ``module._forward_exploration`` returns, on the CPU; None where it is to be asked itself."""
        if self.device is None or not _can_act(module):
            return None
        if module_id not in self._of:
            self._of[module_id] = self._made(module, columns)
        graph = self._of[module_id]
        if graph is None:
            return None
        if not graph.takes(module, columns):
            # The number of sub-environments that act changes in some games: one shape is kept.
            return None
        if module_id in self._fresh:
            return graph(columns)
        self._fresh.add(module_id)
        graph.refresh()
        found, expected = graph(columns), module._forward_exploration(columns, t=t)
        if not _alike(found, expected):
            self._of[module_id] = None  # it depends on more than weights and observations
        return expected

    def _made(self, module: Any, columns: dict[str, Any]) -> _ActingGraph | None:
        assert self.device is not None
        try:
            return _ActingGraph(module, columns, self.device)
        except RuntimeError:  # its forward pass asks the GPU something
            return None


class _ActingGraph:
    def __init__(self, module: Any, columns: dict[str, Any], device: torch.device) -> None:
        self._module, self._copy = module, duplicate(module).to(device).eval()
        self._structure = columns
        self._host = [_pinned(leaf, device) for leaf in tree.flatten(columns)]
        there = [leaf.to(device) for leaf in self._host]
        given = tree.unflatten_as(columns, there)
        self._outputs: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            shapes = self._copy._forward_exploration(given)  # sets up what PyTorch sets up at first use
        self._back = {name: _pinned(part, device) for name, part in shapes.items()}

        def step() -> None:
            with torch.no_grad():
                for to, leaf in zip(there, self._host, strict=True):
                    to.copy_(leaf, non_blocking=True)
                for name, part in self._copy._forward_exploration(given).items():
                    self._back[name].copy_(part, non_blocking=True)

        self._run: Callable[[], None] = captured.recorded(step, device)
        self._wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)

    def takes(self, module: Any, columns: dict[str, Any]) -> bool:
        if module is not self._module:
            return False
        leaves = tree.flatten(columns)
        return len(leaves) == len(self._host) and all(
            leaf.shape == ours.shape and leaf.dtype is ours.dtype for leaf, ours in zip(leaves, self._host, strict=True)
        )

    def refresh(self) -> None:
        with torch.no_grad():
            for to, parameter in zip(self._copy.parameters(), self._module.parameters(), strict=True):
                to.copy_(parameter)

    def __call__(self, columns: dict[str, Any]) -> dict[str, torch.Tensor]:
        for to, leaf in zip(self._host, tree.flatten(columns), strict=True):
            to.copy_(leaf)
        self._run()
        self._wait()
        return {name: part.clone() for name, part in self._back.items()}


def _can_act(module: Any) -> bool:
    """Whether it is parity's own module around a network of convolutions that keeps nothing but weights."""
    return (
        isinstance(module, SharedNetworkModule)
        and type(module)._forward_exploration is SharedNetworkModule._forward_exploration
        and any(isinstance(part, _CONVOLUTIONS) for part in module.modules())
        and next(module.buffers(), None) is None
    )


def _pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Memory of the CPU that a GPU copies to and from while the CPU goes on."""
    return torch.zeros(tensor.shape, dtype=tensor.dtype, pin_memory=device.type == "cuda")


def _alike(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.allclose(found[name], expected[name].cpu(), rtol=1e-2, atol=1e-2, equal_nan=True) for name in found
    )
