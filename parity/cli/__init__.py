"""The command line. This module imports nothing heavy: every command's work is imported when it is called."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from parity import __version__
from parity.errors import CannotStart, ExitCode, Interrupted, one_line

# A file that may not be written or read, a full disk, a name that is too long: the user's to mend, in a sentence.
REFUSED_BY_THE_SYSTEM = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENAMETOOLONG}

app = App(
    name="parity",
    version=__version__,
    help="Is an RLlib port of a Stable-Baselines3 set-up computed the same, does it learn as well, is it as fast?",
    # Otherwise cyclopts ends the process without a word.
    suppress_keyboard_interrupt=False,
)
app.command("parity.cli.run:run")
app.command("parity.cli.check:check")
app.command("parity.cli.bench:bench")
app.command("parity.cli.init:init")
app.command("parity.cli.report:report")
app.command("parity.cli.report:view")
app.command("parity.cli.tasks:tasks")
app.command("parity.cli.plan:plan")
app.command("parity.cli.rules:rules")
app.command("parity.cli.selftest:selftest")
app.command("parity.cli.translate:translate")
app.command("parity.cli.bisect:bisect")
app.command("parity.cli.gate:gate")
baseline = App(name="baseline", help="What studies are held against by `parity gate`: a file in the repository.")
baseline.command("parity.cli.gate:accept")
app.command(baseline)


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
    except OSError as error:
        if error.errno not in REFUSED_BY_THE_SYSTEM:
            return _own_error(error)
        return _refuse(f"{error.filename}: {error.strerror}.")
    except Exception as error:
        return _own_error(error)
    return int(outcome) if outcome is not None else ExitCode.HOLDS


def _own_error(error: Exception) -> int:
    """Nothing that a user gave should end here: the traceback is for those who mend parity."""
    import traceback

    traceback.print_exception(error)
    print(
        f"parity: internal error: {type(error).__name__}: {one_line(error)}; please report the lines above.",
        file=sys.stderr,
    )
    return ExitCode.DOES_NOT_HOLD


def _refuse(sentence: str) -> int:
    print(f"parity: {sentence}", file=sys.stderr)
    return ExitCode.CANNOT_START
