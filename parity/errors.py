"""Exceptions that end a command, exit codes, and helpers for the wording of messages."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import re
import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError


T = TypeVar("T")


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


# A file that may not be written or read, a full disk, a name that is too long: the user can mend these.
REFUSED_BY_THE_SYSTEM = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENAMETOOLONG,
    errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP, errno.EMFILE, errno.ENXIO,
}  # fmt: skip
# Longer messages are cut: the log has all of it.
LONGEST_MESSAGE, LONGEST_LINE, LONGEST_READ = 200, 2_000, 20_000
# Where what an exception says or where it was raised is no place that a user can change.
_FRAMEWORKS = ("ray", "torch", "numpy", "gymnasium", "stable_baselines3", "sb3_contrib", "tree", "cloudpickle")
_INSTALLED = re.compile(r".*[/\\\\](?:site|dist)-packages[/\\\\]")
_FRAME = re.compile(
    r'^ *File "(?P<file>.+?)", line (?P<line>\d+), in (?P<function>\S+)(?:\n +(?!File ")(?P<source>.+))?', re.M
)
_NEXT_EXCEPTION = re.compile(
    r"\n(?:The above exception was the direct cause|During handling of the above exception).*\n"
)
_LAST_LINE = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$")
_TRACEBACK = "Traceback (most recent call last)"
_NUMBERS = re.compile(r"\[[^\[\]]{40,}\]|\[[-+\d\s.,eE…]{8,}\]|\[\[[^\[\]]*\](?:,? ?\[[^\[\]]*\])*\]")


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where an exception was raised, as far as its reader can change something there.

    Attributes:
        file: name of the user's file, or the path within an installed package.
        line: in that file.
        function: that the line stands in.
        source: the line itself.
        is_users: whether the file belongs to no installed package and not to Python.
        is_framework: whether it is Python's, parity's or a framework's: its reader changes nothing there.
    """

    file: str
    line: int
    function: str
    source: str
    is_users: bool
    is_framework: bool

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, in {self.function}"


def one_line(error: BaseException) -> str:
    """What an exception says, on one line of sane length, without a full stop, for the middle of a sentence.

    Dumps of arrays are left out. An exception without a message is told by the line that raised it.
    """
    said = _told(error)[1]
    if said:
        return said
    origin = origin_of(error)
    if origin is None:
        return "it says nothing"
    return f"`{_cut(origin.source)}` in {origin}" if origin.source else f"in {origin}"


def in_short(error: BaseException) -> str:
    """Type, message and place of what was raised, in a few words: ``"ValueError: no card 3 (cards.py, line 57, in step)"``."""
    root, origin = root_of(error), origin_of(error)
    said = f"{type_of(root)}: {one_line(root)}"
    return said if origin is None or origin.is_framework or str(origin) in said else f"{said} ({origin})"


def type_of(error: BaseException) -> str:
    """The name of an exception's class; of what another process raised, where Ray brings it."""
    return _told(error)[0]


def root_of(error: BaseException) -> BaseException:
    """The exception that says most: the first, from the outside, that was raised outside of the frameworks, else the cause.

    RLlib wraps what an environment raises into exceptions that say nothing themselves, or print a page.
    """
    chain = [error]
    while (cause := _cause(chain[-1])) is not None and cause not in chain:
        chain.append(cause)
    for each in chain:
        frames = traceback.extract_tb(each.__traceback__)
        if _text(each).strip() and frames and _rank(frames[-1].filename) > 0 and not hasattr(each, "cause"):
            return each
    return next((each for each in reversed(chain) if _told(each)[1]), chain[-1])


def _cause(error: BaseException) -> BaseException | None:
    # What another process raised is brought by Ray as `cause`.
    remote = getattr(error, "cause", None)
    if isinstance(remote, BaseException):
        return remote
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def origin_of(error: BaseException) -> Origin | None:
    """The innermost frame in a file of the user's, else in an installed package that is no framework, else of all."""
    return origin_in("".join(traceback.format_exception(error)))


def origin_in(text: str) -> Origin | None:
    """The same from a traceback's text, as it comes from another process; the first cause in it counts first."""
    for rank in (2, 1, 0):
        for part in _NEXT_EXCEPTION.split(text):
            frames = [frame for frame in _FRAME.finditer(part) if _rank(frame["file"]) == rank]
            if frames:
                return _origin(frames[-1], rank)
    return None


def _rank(file: str) -> int:
    """2: the user's; 1: an installed package's; 0: the frameworks', Python's own or parity's."""
    if file.startswith("<") or Path(file).is_relative_to(Path(__file__).parent):
        return 0
    installed = _INSTALLED.match(file)
    if installed:
        return 0 if file[installed.end() :].replace("\\", "/").partition("/")[0] in _FRAMEWORKS else 1
    return 0 if any(Path(file).is_relative_to(folder) for folder in _PYTHON) else 2


_PYTHON = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


def _origin(frame: re.Match[str], rank: int) -> Origin:
    file = frame["file"]
    name = Path(file).name if rank == 2 else _INSTALLED.sub("", file)
    if not rank:
        for folder in (Path(__file__).parent.parent, *_PYTHON):
            name = str(Path(name).relative_to(folder)) if Path(name).is_relative_to(folder) else name
    source = (frame["source"] or "").strip()
    return Origin(name, int(frame["line"]), frame["function"], source, is_users=rank == 2, is_framework=rank == 0)


def _told(error: BaseException) -> tuple[str, str]:
    """Class and message. A message that holds a traceback ends with the exception's own line."""
    name, message = type(error).__name__, _text(error)
    of_ray = type(error).__module__.startswith("ray.") and _FRAME.search(message) is not None
    if of_ray or _TRACEBACK in message:
        lines = message.strip().splitlines()
        message = lines[-1]
        # The exception's own line, or its cause's where that alone says something.
        remote = [line for line in map(_LAST_LINE.match, reversed(lines)) if line is not None]
        if of_ray and remote:
            last = next((line for line in remote if line["message"]), remote[0])
            name, message = last["name"].rpartition(".")[2], last["message"] or ""
    return name, _said(message)


def _text(error: BaseException) -> str:
    """``str(error)``, which a user's exception may not allow, without what would control a terminal."""
    try:
        text = str(error)
    except BaseException as broken:
        return f"its message cannot be read, __str__ raised {type(broken).__name__}"
    if len(text) > LONGEST_READ:
        text = f"{text[: LONGEST_READ // 2]}…{text[-LONGEST_READ // 2 :]}"
    return "".join(c if c.isprintable() or c.isspace() else " " for c in text)


def _said(message: str) -> str:
    text = " ".join(message.split())
    while (shorter := _NUMBERS.sub("…", text)) != text:
        text = shorter
    return _cut(text).rstrip(".")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1].rstrip()}…"


def printable(text: str, longest: int = LONGEST_LINE) -> str:
    """One line of sane length, without what would control a terminal, forge a line of a log or not be written at all."""
    half = longest // 2
    cut = text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
    return "".join(c if c.isprintable() else " " for c in cut)


def in_words(items: Sequence[object]) -> str:
    """A list in a sentence: "a", "a and b", "a, b and c"."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def each_once(items: list[T]) -> list[T]:
    """For pydantic's ``AfterValidator``.

    Raises:
        ValueError: one of them stands twice.
    """
    if len(set(items)) < len(items):
        raise ValueError("a name stands twice" if isinstance(items[0], str) else "a number stands twice")
    return items


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
