"""``parity --install-completion``."""

from __future__ import annotations

from typing import Literal


def install_completion(shell: Literal["bash", "zsh", "fish", "powershell"] | None = None, /) -> int:
    """Complete commands and options on Tab.

    Parameters
    ----------
    shell
        Left out, the one that this was typed into.
    """
    from cyclopts.completion.detect import ShellDetectionError

    from parity.cli import app
    from parity.errors import CannotStart
    from parity.system.console import say

    try:
        path = app.install_completion(shell=shell)
    except ShellDetectionError as error:
        raise CannotStart(
            "--install-completion: no shell is recognised; name it: bash, zsh, fish or powershell."
        ) from error
    say(f"Wrote {path}, which shells find that start from now on.")
    return 0
