"""Exceptions that end a command, exit codes, and helpers for the wording of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class ExitCode(IntEnum):
    """Exit codes of every command."""

    HOLDS = 0
    DOES_NOT_HOLD = 1
    CANNOT_START = 2
    UNDECIDED = 3
    INTERRUPTED = 130


class CannotStart(Exception):
    """Bad input: one sentence that names the file or option, the field and the remedy. Exit code 2.

    ``str(error)`` is that sentence; no traceback is ever shown for it.
    """


class NotSupported(CannotStart):
    """A framework cannot work with the versions that are installed, or with what a port brings."""


def one_line(error: BaseException) -> str:
    """An exception's message on one line, without a full stop, for the middle of a sentence."""
    return " ".join(str(error).split()).rstrip(".") or "no message"


def in_words(items: Sequence[object], conjunction: str = "and") -> str:
    """A list in a sentence: "a", "a and b", "a, b and c"."""
    *first, last = map(str, items)
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def first_refusal(error: ValidationError) -> tuple[Any, str]:
    """What pydantic refuses first, and its message for the middle of a sentence: no capital letter, no full stop."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return first, f"{message[0].lower()}{message[1:]}"


def did_you_mean(name: object, known: Iterable[str], otherwise: str) -> str:
    """The end of a sentence about an unknown name: "did you mean NAME?", or ``otherwise`` where none is close."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else otherwise


class Interrupted(Exception):
    """The user stopped a study; what was computed is on disk and ``--resume`` goes on. Exit code 130."""
