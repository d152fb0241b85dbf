"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

DEFAULT_OUT = "results"

Out = Annotated[str | None, Parameter(name="--out")]
Json = Annotated[bool, Parameter(name="--json", negative="")]
