"""What is trained: a task, its masks, the built-in ones and suites of them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.task.definition import PPOParams, Reference, Task

__all__ = ["PPOParams", "Reference", "Task"]


def __getattr__(name: str) -> object:
    # The registry knows tasks by name without gymnasium; only a Task needs it.
    if name in __all__:
        from parity.task import definition

        return getattr(definition, name)
    raise AttributeError(f"module 'parity.task' has no attribute {name!r}")
