"""The base classes of everything that parity stores or prints as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from parity.results.writing import write_text

# What every double holds exactly.
Count = Annotated[int, Field(ge=0, le=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Names that become folders: nothing in them leads out of the study.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class Stored(BaseModel):
    """NaN and infinities are written as strings, since JSON has no numbers for them.

    Unknown fields are kept: a later version of the same schema may have written them.
    """

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="strings")

    def to_json(self) -> str:
        """Indented, with a newline at the end."""
        return self.model_dump_json(indent=1) + "\n"

    def write(self, path: Path) -> None:
        write_text(path, self.to_json())


class Strict(Stored):
    """For files that people edit or review: an unknown field is an error, as it may be a misspelt one."""

    model_config = ConfigDict(extra="forbid")
