"""Writes down what ports raise while their numbers are collected."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

from parity.errors import CannotStart, one_line
from parity.results.capture import Context, Raised


@contextlib.contextmanager
def part(context: Context, name: str) -> Iterator[None]:
    """Goes on after what is raised inside, which is then ``context.raised[name]``.

    Raises:
        CannotStart: bad input is the user's to mend before there is anything to compare.
    """
    try:
        yield
    except CannotStart:
        raise
    except Exception as error:
        context.raised[name] = raised(error)


def raised(error: Exception) -> Raised:
    """An exception that is being handled, with its traceback."""
    return Raised(type=type(error).__name__, message=_message(error), traceback=traceback.format_exc())


def note(context: Context, consequence: str, error: Exception) -> None:
    """Adds a sentence to ``context.notes``, unless it stands there already.

    Args:
        consequence: what the collection does without, as the beginning of the sentence.
    """
    sentence = f"{consequence}: {type(error).__name__}: {one_line(error)}"
    if sentence not in context.notes:
        context.notes.append(sentence)


def _message(error: BaseException) -> str:
    """On one line; RLlib wraps what an environment raises into a RuntimeError that says nothing itself."""
    causes = [error]
    while causes[-1].__cause__ is not None and causes[-1].__cause__ not in causes:
        causes.append(causes[-1].__cause__)
    first, *others = causes
    parts = [" ".join(str(first).split())] if str(first).strip() else []
    parts += [f"{type(cause).__name__}: {' '.join(str(cause).split())}" for cause in others]
    return "; from ".join(dict.fromkeys(parts)) if parts else "no message"
