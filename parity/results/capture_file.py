"""A `Capture` on disk: one zip file, an ``.npy`` per array and ``capture.json``; NumPy and a zip tool alone can read it."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import types
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from parity.errors import CannotStart, first_refusal, one_line
from parity.results.capture import Capture
from parity.results.reading import complaint, size_of_file
from parity.results.writing import replacing

SCHEMA_VERSION = 2
JSON_FILE = "capture.json"
# What `parity check --save` wrote before a capture had a schema.
OLD_JSON_FILE = "facts.json"
# Ten times what the largest task of parity's own needs.
MOST_BYTES, MOST_MEMBERS = 2**31, 100_000


def save(capture: Capture, path: Path) -> None:
    """Writes one file. An array that stands in several places is written once.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    document = {"schema_version": SCHEMA_VERSION, "capture": _plain(capture, "", arrays, {})}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(JSON_FILE, json.dumps(document, indent=1))
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def load(path: Path) -> Capture:
    """Reads what `save` wrote.

    Raises:
        CannotStart: the file is none, or of another schema.
    """
    again = "write it again with `parity check --save`"
    try:
        size_of_file(path)
        with zipfile.ZipFile(path) as archive:
            _bounded(archive)
            names = archive.namelist()
            if JSON_FILE not in names and OLD_JSON_FILE in names:
                raise CannotStart(f"{path} was written by a parity whose captures had no schema: {again}.")
            document = from_json(archive.read(JSON_FILE))
            if document["schema_version"] != SCHEMA_VERSION:
                raise CannotStart(
                    f"{path}: schema_version {document['schema_version']}, this parity reads {SCHEMA_VERSION}: {again}."
                )
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in names
                if name.endswith(".npy")
            }
        return _typed(Capture, document["capture"], arrays, "")
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        LookupError,
        MemoryError,
    ) as error:
        raise CannotStart(f"{path} holds no capture ({one_line(error)}): {again}.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CannotStart(f"{path} holds no capture ({complaint(error)}): {again}.") from error


def _bounded(archive: zipfile.ZipFile) -> None:
    """Raises:
    ValueError: what is in the archive is too much, packed or unpacked; its table says how much, and no more is read.
    """
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES or len(archive.infolist()) > MOST_MEMBERS:
        raise ValueError(f"{size} bytes in {len(archive.infolist())} files: too large")


def _plain(value: Any, place: str, arrays: dict[str, np.ndarray], known: dict[int, str]) -> Any:
    """``value`` as JSON: dataclasses as objects of their fields, arrays as the names of their files."""
    if isinstance(value, np.ndarray):
        if id(value) not in known:
            known[id(value)] = place
            arrays[place] = value
        return known[id(value)]
    if dataclasses.is_dataclass(value):
        items: Mapping[Any, Any] = {name: each for name, each in vars(value).items() if each is not None}
    elif isinstance(value, Mapping):
        items = value
    elif isinstance(value, list | tuple):
        return [_plain(each, f"{place}/{i}", arrays, known) for i, each in enumerate(value)]
    else:
        return value.item() if isinstance(value, np.generic) else value
    return {str(name): _plain(each, f"{place}/{name}".lstrip("/"), arrays, known) for name, each in items.items()}


def _typed(hint: Any, stored: Any, arrays: Mapping[str, np.ndarray], place: str) -> Any:
    """What `_plain` made of a value of this type, as that value; ``place``: where it stands, for a message.

    Raises:
        ValueError: it is of another type.
    """
    if hint is np.ndarray:
        array = arrays.get(stored) if isinstance(stored, str) else None
        if array is None or array.dtype.kind not in "biuf":
            raise ValueError(f"{place}: there is no such array of numbers")
        return array
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        (other,) = [each for each in arguments if each is not type(None)]
        return None if stored is None else _typed(other, stored, arrays, place)
    if dataclasses.is_dataclass(hint) or get_origin(hint) is dict:
        if not isinstance(stored, dict):
            raise ValueError(f"{place or 'capture'}: {type(stored).__name__} where an object belongs")
        # A field that an earlier parity stored and nothing read any more is left out.
        hints = get_type_hints(hint) if dataclasses.is_dataclass(hint) else dict.fromkeys(stored, arguments[-1])
        parts = {
            name: _typed(hints[name], each, arrays, f"{place}.{name}".lstrip("."))
            for name, each in stored.items()
            if name in hints
        }
        return hint(**parts) if isinstance(hint, type) and dataclasses.is_dataclass(hint) else parts
    if get_origin(hint) is list:
        if not isinstance(stored, list):
            raise ValueError(f"{place}: {type(stored).__name__} where a list belongs")
        return [_typed(arguments[0], each, arrays, f"{place}.{i}") for i, each in enumerate(stored)]
    try:
        return _adapter(hint).validate_python(stored)
    except ValidationError as error:
        raise ValueError(f"{place}: {first_refusal(error)[1]}") from error


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)
