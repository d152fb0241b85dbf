"""Files that people write or commit: read strictly, and refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from parity.errors import CannotStart

AnyFile = TypeVar("AnyFile", bound=BaseModel)


def read_strictly(path: Path, model: type[AnyFile], remedy: str) -> AnyFile:
    """A JSON file as ``model``.

    Raises:
        CannotStart: it cannot be read; the sentence names file, field and ``remedy``.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return model.model_validate(stored)
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        reason = getattr(error, "strerror", None) or f"it is no JSON ({error})"
        raise CannotStart(f"{path}: {reason}; {remedy}.") from error
    except ValidationError as error:
        raise CannotStart(f"{path}: {complaint(error)}; {remedy}.") from error


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with a file: which field, and what about it."""
    first: Any = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{field}: {first['msg'].rstrip('.').removeprefix('Value error, ')}"
