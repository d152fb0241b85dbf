"""Where text for people goes: colours and the terminal's width on a terminal, 120 columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn
from rich.segment import Segment

from parity.errors import printable

# Wide enough for every row of a table on one line.
PLAIN_WIDTH = 120


class _Console(Console):
    """Shows what a study or a port says, and does nothing that it says."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            lines = segment.text.split("\n")
            yield segment if segment.control else Segment("\n".join(map(printable, lines)), segment.style)


def console(stderr: bool = True) -> Console:
    """Everything for people goes to stderr, but what a command is asked to list."""
    out = _Console(stderr=stderr, highlight=False)
    return out if out.is_terminal else _Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


def progress(*columns: ProgressColumn) -> Progress:
    """Columns that go when they have ended, and are not shown where stderr is no terminal."""
    out = console()
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


def say(text: str) -> None:
    """One line for people, on stderr and at once, whether or not that is a terminal."""
    print(printable(text), file=sys.stderr, flush=True)
