"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter, Token, validators

from parity.study.options import Requirement, RunOptions
from parity.system.options import DEFAULT_OUT

Model = TypeVar("Model")
AllOf = Annotated[Model, Parameter(name="*")]
"""The fields of a model, each as an option of its own."""


def _whole(type_: Any, tokens: Sequence[Token]) -> int:
    # cyclopts' own conversion rounds 1.5 to 2.
    return int(tokens[0].value)


Count = Annotated[int | None, Parameter(converter=_whole)]
Positive = Annotated[Count, Parameter(validator=validators.Number(gte=1))]
Names = list[str] | None
Requirements = list[Requirement] | None
Out = Annotated[Path, Parameter(name="--out", show_default=False)]
Studies = Annotated[
    Path, Parameter(name="--out", show_default=False, help=f"Folder of studies. Default: {DEFAULT_OUT}.")
]
Study = Annotated[str | None, Parameter(help="A study's folder, or its name under --out. Default: the newest.")]
Json = Annotated[bool, Parameter(name="--json")]


def default_tasks() -> list[str]:
    """What parity.toml in the current folder names, else the built-in task."""
    return RunOptions().resolved().task


def default_task(command: str) -> str:
    """The same for a command that takes one task.

    Raises:
        CannotStart: parity.toml names several.
    """
    from parity.errors import CannotStart

    first, *others = default_tasks()
    if others:
        raise CannotStart(f"{command} takes one task, parity.toml names several: choose one with --task.")
    return first
