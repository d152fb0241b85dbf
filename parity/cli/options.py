"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

DEFAULT_OUT = "results"


def _whole(type_: Any, tokens: Sequence[Token]) -> int:
    # cyclopts' own conversion rounds 1.5 to 2.
    return int(tokens[0].value)


Count = Annotated[int | None, Parameter(converter=_whole)]

# Several values after one option, as in --task a b.
Several = Parameter(consume_multiple=True, negative="")
Names = Annotated[list[str] | None, Several]

Out = Annotated[str | None, Parameter(name="--out")]
Json = Annotated[bool, Parameter(name="--json", negative="")]
