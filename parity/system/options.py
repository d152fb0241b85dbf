"""What options of several commands have in common: their types, and what is wrong with one as a sentence.

A command's options are a pydantic model: cyclopts makes the command line of it, its docstrings are the help.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from parity.errors import each_once, first_refusal

DEFAULT_OUT = Path("results")

AtLeastOne = Annotated[int, Field(ge=1, le=2**53)]
# Seconds for a look at one task, which takes ten to sixty where nothing hangs.
Timeout = Annotated[float, Field(gt=0, le=1e6)]
DEFAULT_TIMEOUT_S = 900.0


def _names_a_file(path: Path) -> Path:
    if not path.name:
        raise ValueError("it names no file")
    return path


FileName = Annotated[Path, AfterValidator(_names_a_file)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(each_once)]


class Options(BaseModel):
    """What a command was asked. ``model_fields_set`` are the options that were given."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def complaint(error: ValidationError, known: type[BaseModel] | None = None) -> str:
    """The first option that pydantic refuses and why, without dashes and full stop: "steps 0: input should be ...".

    ``known``: the model whose options are listed where there is none of that name.
    """
    first, message = first_refusal(error)
    option = str(first["loc"][0]).replace("_", "-")
    value = " ".join(map(str, first["input"])) if isinstance(first["input"], list) else first["input"]
    match first["type"]:
        case "extra_forbidden" if known is not None:
            names = ", ".join(name.replace("_", "-") for name in known.model_fields)
            return f"{option}: no such option; there are {names}"
        case "too_short":
            return f"{option}: name at least one"
        case "string_pattern_mismatch":
            message = 'use letters, digits and ". _ -", a letter or digit first'
    return f"{option} {value}: {message}"
