"""Stored files are read here, and a bad one is refused in one sentence that names the file, the field and the remedy."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from parity.errors import CannotStart, one_line

AnyModel = TypeVar("AnyModel", bound=BaseModel)
# Far more than parity writes into a document; what is larger is not read into memory.
MOST_BYTES = 2**25


def size_of_file(path: Path) -> int:
    """Bytes.

    Raises:
        OSError: nobody can look at it.
        ValueError: it is a pipe or a device, which whoever reads may wait for without end.
    """
    about = path.stat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise ValueError("it is no file but a pipe or a device")
    return about.st_size


def read_bytes(path: Path) -> bytes:
    """A stored document.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, or too large to be a document.
    """
    size = size_of_file(path)
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes, more than a document of parity's can have")
    return path.read_bytes()


def read_text(path: Path) -> str:
    """A stored document of text, in UTF-8; raises as `read_bytes`, and ValueError where it is none."""
    return read_bytes(path).decode("utf-8")


def parse(path: Path, model: type[AnyModel]) -> AnyModel:
    """A JSON file as ``model``.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, no JSON, or does not fit the model; `complaint` has the words.
    """
    return model.model_validate_json(read_bytes(path))


def read_json(path: Path, model: type[AnyModel], remedy: str) -> AnyModel:
    """A JSON file as ``model``.

    Raises:
        CannotStart: the file cannot be read, is no JSON, or does not fit the model.
    """
    try:
        return parse(path, model)
    except (ValueError, OSError) as error:
        raise cannot_read(path, error, remedy) from error


def cannot_read(path: Path, error: Exception, remedy: str) -> CannotStart:
    return CannotStart(f"{path} cannot be read: {complaint(error)}; {remedy}.")


def complaint(error: Exception) -> str:
    """What is wrong with a file, for the middle of a sentence; of several bad fields the first."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if not isinstance(error, ValidationError):
        return one_line(error)[:200]
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"it is no JSON ({first['msg'].removeprefix('Invalid JSON: ')})"
    field = ".".join(map(str, first["loc"])) or "the file"
    if field == "schema_version" and first["type"] == "literal_error":
        return f"schema_version: this parity reads {first['ctx']['expected']}, and not {first['input']!r:.20}"
    return f"{field}: {first['msg'].rstrip('.').removeprefix('Value error, ')}"
