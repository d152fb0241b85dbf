"""Replaces a method for a while, where RLlib has no hook.

``compute_values`` is no ``forward``, so PyTorch's hooks do not see it. A learner's steps (``compute_losses``,
``postprocess_gradients``, ``apply_gradients``) have no callbacks, and a subclass of the port's learner would be another class
than the one that trains. Environments have `parity.frameworks.rllib.env_tap`, episodes RLlib's callbacks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def replaced(owner: Any, **methods: Callable[..., Any]) -> Iterator[None]:
    """``owner`` with other methods on the instance; those of its class are back afterwards."""
    own = {name: vars(owner)[name] for name in methods if name in vars(owner)}
    for name, method in methods.items():
        setattr(owner, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(owner, name)
        for name, method in own.items():
            setattr(owner, name, method)
