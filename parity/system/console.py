"""Where text for people goes: colours and the terminal's width on a terminal, 120 columns elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console

# Wide enough for every row of a table on one line.
PLAIN_WIDTH = 120


def console(stderr: bool = True) -> Console:
    """Everything for people goes to stderr, but what a command is asked to list."""
    out = Console(stderr=stderr, highlight=False)
    return out if out.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


def say(text: str) -> None:
    """One line for people, on stderr and at once, whether or not that is a terminal."""
    print(text, file=sys.stderr, flush=True)
