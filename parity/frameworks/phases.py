"""Where an iteration's time goes: the parts of a framework's loop report when they begin and end, and the innermost counts.

The same for every framework. `Session.watch_phases` says which methods are what; the network's forward pass in training,
backward passes, clipping and copies between host and device are PyTorch's own functions, and are watched here.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from parity.task.masks import MaskedEnv

if TYPE_CHECKING:
    from parity.results.bench import PhaseTime

# In the order of an iteration. Bookkeeping is what no part reported: connectors, episodes, buffers, metrics, masks' audit.
PHASES = (
    "environment",
    "inference",
    "returns",
    "forward",
    "loss",
    "backward",
    "optimiser",
    "graph",
    "transfer",
    "weight_sync",
    "waiting",
    "bookkeeping",
)
REST = PHASES[-1]
# What they call is part of them: a forward pass that RLlib makes to compute returns is the returns' time.
_WHOLE = ("inference", "returns", "forward", "optimiser", "graph", "transfer")

Key = tuple[str, str]
"""Phase, and the part of it by name or ``""``."""


class Phases:
    """Adds up wall-clock and CPU seconds by phase, and by part where a part has a name.

    Args:
        synchronize: called before each reading of the clock; on a GPU it waits for the kernels that were launched.
    """

    def __init__(self, synchronize: Callable[[], None] | None = None) -> None:
        self._synchronize = synchronize or (lambda: None)
        self._stack: list[Key] = [(REST, "")]
        self._undo: list[Callable[[], None]] = []
        self._thread = threading.get_ident()
        self.begin()

    def begin(self) -> None:
        """Forgets what was added up."""
        self.wall: defaultdict[Key, float] = defaultdict(float)
        self.cpu: defaultdict[Key, float] = defaultdict(float)
        self._synchronize()
        self._at = time.perf_counter(), time.process_time()

    def settle(self) -> None:
        """Adds the time since the last change to the phase that is on."""
        self._synchronize()
        at = time.perf_counter(), time.process_time()
        self.wall[self._stack[-1]] += at[0] - self._at[0]
        self.cpu[self._stack[-1]] += at[1] - self._at[1]
        self._at = at

    def means(self, iterations: int) -> dict[str, PhaseTime]:
        """Mean seconds of one iteration, by phase; every phase is there."""
        from parity.results.bench import PhaseTime  # with pydantic, which those that measure nothing do without

        means = {}
        for phase in PHASES:
            parts = {
                part: PhaseTime(wall_s=self.wall[phase, part] / iterations, cpu_s=self.cpu[phase, part] / iterations)
                for of, part in sorted(self.wall)
                if of == phase
            }
            wall, cpu = (sum(getattr(each, name) for each in parts.values()) for name in ("wall_s", "cpu_s"))
            means[phase] = PhaseTime(wall_s=wall, cpu_s=cpu, parts={part: t for part, t in parts.items() if part})
        return means

    @contextmanager
    def inside(self, phase: str, part: str = "") -> Iterator[None]:
        self.settle()
        self._stack.append((phase, part))
        try:
            yield
        finally:
            self.settle()
            self._stack.pop()

    def watch(
        self,
        owner: Any,
        method: str,
        phase: str,
        part: Callable[[Any], str] | str = "",
        when: Callable[..., bool] | None = None,
    ) -> None:
        """Counts calls of ``owner.method`` from now on, where there is such a method; once, however often it is asked.

        Of a class it is the method of the class that defines it, so that nothing looks overridden that was not.

        Args:
            owner: an object, a class or a module.
            part: its name, or makes one of the call's first argument.
            when: of a call's arguments, whether it counts.
        """
        if isinstance(owner, type):
            owner = next((kind for kind in owner.__mro__ if method in vars(kind) and _is_open(kind)), owner)
        original = getattr(owner, method, None)
        if original is None or hasattr(original, "_parity_phase"):
            return

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            on = self._stack[-1][0]
            elsewhere = threading.get_ident() != self._thread
            if elsewhere or on in _WHOLE or (when is not None and not when(*args, **kwargs)):
                return original(*args, **kwargs)
            name = part if isinstance(part, str) else part(args[0])
            with self.inside(phase, name):
                return original(*args, **kwargs)

        timed._parity_phase = phase  # type: ignore[attr-defined]
        own = method in vars(owner) if hasattr(owner, "__dict__") else False
        setattr(owner, method, timed)
        self._undo.append(lambda: setattr(owner, method, original) if own else delattr(owner, method))

    @contextmanager
    def watching_torch(self) -> Iterator[None]:
        """Watches PyTorch's own functions, and takes all wrappers away at the end of the ``with`` block."""
        self.watch(torch.nn.Module, "__call__", "forward", when=lambda *_, **__: torch.is_grad_enabled())
        self.watch(torch.Tensor, "backward", "backward")
        self.watch(torch.optim.Optimizer, "zero_grad", "optimiser")
        self.watch(torch.nn.utils, "clip_grad_norm_", "optimiser")
        if torch.cuda.is_available():
            for name in ("cpu", "item", "tolist"):
                self.watch(torch.Tensor, name, "transfer", when=lambda tensor, *_, **__: tensor.device.type != "cpu")
            for owner, names in ((torch.Tensor, ("to", "cuda")), (torch, ("tensor", "as_tensor"))):
                for name in names:
                    self.watch(owner, name, "transfer", when=moves)
        try:
            yield
        finally:
            for undo in reversed(self._undo):
                undo()
            self._undo.clear()


def watch_env(phases: Phases, env: Any) -> None:
    """Counts what the user's own environment does, below what parity has put around it."""
    while isinstance(env, MaskedEnv) or type(env).__module__.startswith("parity.frameworks."):
        env = env.env
    for method in ("reset", "step", "last", "observe"):
        phases.watch(env, method, "environment", type(getattr(env, "unwrapped", env)).__name__)


def moves(value: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether ``value.to``, ``torch.as_tensor`` … with these arguments give something on another device."""
    named = [each for each in (*args, *kwargs.values()) if isinstance(each, str | torch.device | torch.Tensor)]
    here = value.device.type if isinstance(value, torch.Tensor) else "cpu"
    there = [each.device if isinstance(each, torch.Tensor) else torch.device(each) for each in named]
    return any(device.type != here for device in there)


def _is_open(kind: type) -> bool:
    """Whether attributes of a class can be set: not where it is written in C, as the base class of PyTorch's tensors."""
    return bool(kind.__flags__ & 1 << 9)
