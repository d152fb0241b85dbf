"""parity: is an RLlib port of a Stable-Baselines3 set-up computed the same, does it learn as well, is it as fast?"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.task import PPOParams, Task
    from parity.task.repeatable import Repeatable

__version__ = "0.1.0"
__all__ = ["PPOParams", "Repeatable", "Task", "__version__"]


def __getattr__(name: str) -> object:
    # `parity --help` imports this package: gymnasium and pydantic wait until a Task is wanted.
    if name in ("PPOParams", "Task"):
        from parity.task import definition

        return getattr(definition, name)
    if name == "Repeatable":
        from parity.task.repeatable import Repeatable

        return Repeatable
    raise AttributeError(f"module 'parity' has no attribute {name!r}")
