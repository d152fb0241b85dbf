"""parity: is an RLlib port of a Stable-Baselines3 set-up computed the same, does it learn as well, is it as fast?"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.audit.rllib import watch
    from parity.audit.sb3 import WatchCallback
    from parity.task import PPOParams, Task
    from parity.task.repeatable import Repeatable

__version__ = "0.1.0"
__all__ = ["PPOParams", "Repeatable", "Task", "WatchCallback", "__version__", "watch"]

# `parity --help` imports this package: gymnasium, pydantic and frameworks wait until something of them is wanted.
_PLACES = {
    "PPOParams": "parity.task.definition",
    "Task": "parity.task.definition",
    "Repeatable": "parity.task.repeatable",
    "watch": "parity.audit.rllib",
    "WatchCallback": "parity.audit.sb3",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'parity' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
