"""The command line. This module imports nothing heavy: every command's work is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from parity import __version__
from parity.errors import CannotStart, ExitCode, Interrupted

app = App(
    name="parity",
    version=__version__,
    help="Is an RLlib port of a Stable-Baselines3 set-up computed the same, does it learn as well, is it as fast?",
)
app.command("parity.cli.run:run")
app.command("parity.cli.check:check")
app.command("parity.cli.report:report")
app.command("parity.cli.report:view")
app.command("parity.cli.tasks:tasks")
app.command("parity.cli.rules:rules")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: every outcome leaves by the exit code of the contract, bad input with one sentence on stderr."""
    sys.exit(call(arguments))


def call(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        outcome = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _refuse(" ".join(str(error).split()))
    except CannotStart as error:
        return _refuse(str(error))
    except Interrupted as error:
        print(f"parity: interrupted: {error}.", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        print("parity: interrupted.", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return int(outcome) if outcome is not None else ExitCode.HOLDS


def _refuse(sentence: str) -> int:
    print(f"parity: {sentence}", file=sys.stderr)
    return ExitCode.CANNOT_START
