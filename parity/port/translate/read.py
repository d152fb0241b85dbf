"""From a file's text to the arguments in it: Python, JSON or YAML, by its suffix, or by its look."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

from parity.errors import CannotStart
from parity.port.translate.arguments import Arguments, is_bounded
from parity.port.translate.json_yaml import read_mapping
from parity.port.translate.python_call import read_call

Form = Literal["python", "json", "yaml"]
_SUFFIXES: dict[str, Form] = {".py": "python", ".json": "json", ".yml": "yaml", ".yaml": "yaml"}
STDIN = "-"
# RL-Zoo's whole ppo.yml has 13 kB.
_LARGEST = 400_000


def read(file: str, env: str | None = None, line: int | None = None) -> Arguments:
    """The arguments in ``file``, or in standard input where it is ``-``.

    Raises:
        CannotStart: it cannot be read, or not as what it is, or the options do not fit it.
    """
    text, name = text_of(file)
    try:
        arguments = _read(text, file, name, env, line)
    except (RecursionError, MemoryError) as error:
        raise CannotStart(f"{name}: it is nested too deeply to be read; give the arguments alone.") from error
    for argument, value in arguments.values.items():
        if not is_bounded(value):
            raise CannotStart(
                f"{arguments.place(argument)}: {argument} has too many parts to be written out; shorten it."
            )
    return arguments


def _read(text: str, file: str, name: str, env: str | None, line: int | None) -> Arguments:
    form = _SUFFIXES.get(Path(file).suffix.lower()) or form_of(text)
    if form == "python":
        if env is not None:
            raise CannotStart(f"--env {env}: {name} is Python, where --line chooses among calls; leave --env out.")
        return read_call(text, name, line)
    if line is not None:
        raise CannotStart(
            f"--line {line}: {name} is no Python, where --env chooses among environments; leave --line out."
        )
    return read_mapping(text, name, form, env)


def form_of(text: str) -> Form:
    """What a text without a suffix looks like."""
    if "PPO(" in text:
        return "python"
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "json" if text.lstrip().startswith("{") else "yaml"
    return "json"


def text_of(file: str) -> tuple[str, str]:
    name = "standard input" if file == STDIN else file
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise CannotStart(f"{name}: it has more than {_LARGEST} bytes; give the file with the arguments alone.")
        return content.decode("utf-8-sig"), name
    except FileNotFoundError as error:
        raise CannotStart(f"{name}: there is no such file; give one, or - for standard input.") from error
    except UnicodeDecodeError as error:
        raise CannotStart(f"{name}: it is not text in UTF-8; give Python, JSON or YAML.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotStart(f"{name}: it cannot be read ({reason}); give a file, or - for standard input.") from error
