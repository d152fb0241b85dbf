"""The command line. This module imports nothing heavy: every command's work is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from parity import __version__
from parity.errors import REFUSED_BY_THE_SYSTEM, CannotStart, ExitCode, Interrupted, one_line, printable
from parity.system.signals import sigterm_as_ctrl_c
from parity.system.streams import keep_streams


def _default_shown(default: object) -> str | None:
    """In help pages. Options without a value say in their own words what happens then."""
    if default is None or default is False or default == []:
        return None
    return " ".join(default) if isinstance(default, list) else str(default)


app = App(
    name="parity",
    version=__version__,
    help="Is an RLlib port of a Stable-Baselines3 set-up computed the same, does it learn as well, is it as fast?",
    # Otherwise cyclopts ends the process without a message.
    suppress_keyboard_interrupt=False,
    # Several values after one option, as in --task a b; no --no-NAME and --empty-NAME unless an option asks for it.
    default_parameter=Parameter(consume_multiple=True, negative="", show_default=_default_shown),
)
# In the order of use. Their help lines stand here because a command's module is imported only when it is called.
COMMANDS = {
    "parity.cli.check:check": "Compare a port with SB3 number by number, without training, and name what differs.",
    "parity.cli.run:run": "Train every framework from several seeds, compare, write the report, print the verdict.",
    "parity.cli.bisect:bisect": "Exchange a port's parts with the reference port's, and name those that break.",
    "parity.cli.bench:bench": "Measure throughput: frameworks by turns, in fresh processes.",
    "parity.cli.watch:watch": "Say what parity.watch saw of a training, and since when.",
    "parity.cli.report:view": "Open a study's report, or the list of all studies, in a browser.",
    "parity.cli.report:report": "Judge a stored study again and rebuild its report.",
    "parity.cli.gate:gate": (
        "Hold a study against itself and an accepted baseline: may this go out? Exit code 0: every claim holds or is waived, "
        "1: one fails, 3: one is undecided that has to be decided."
    ),
    "parity.cli.plan:plan": "Say how many seeds and tasks show equivalence, and how long they take.",
    "parity.cli.init:init": "Write a small masked port that runs, to start yours from.",
    "parity.cli.translate:translate": "Turn arguments of MaskablePPO or PPO into RLlib's PPOConfig.",
    "parity.cli.tasks:tasks": "List the built-in tasks with their scores and times.",
    "parity.cli.rules:rules": "List the findings, or explain one at length.",
    "parity.cli.selftest:selftest": "Plant known bugs in a good port, and say which are caught.",
}
for place, (path, line) in enumerate(COMMANDS.items()):
    app.command(path, help=line, sort_key=place)
baseline = App(
    name="baseline", help="What studies are held against by `parity gate`: a file in the repository.", sort_key=6.5
)
baseline.command("parity.cli.gate:accept")
app.command(baseline)
app.command(
    "parity.cli.completion:install_completion",
    name="--install-completion",
    help="Complete commands and options on Tab, in bash, zsh, fish or powershell.",
    sort_key=len(COMMANDS),
)


# What an installation without extras lacks. Adapters and tasks that lack a package say so by themselves.
EXTRA_OF = {"torch": "all", "stable_baselines3": "sb3", "sb3_contrib": "sb3", "pettingzoo": "pettingzoo"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: exits with the command's exit code; bad input ends with one sentence on stderr."""
    keep_streams()
    sigterm_as_ctrl_c()
    sys.exit(call(arguments))


def call(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _refuse_empty(given)
        outcome = app(given, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _refuse(_bad_option(error))
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
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            return _own_error(error)
        return _refuse(
            f"this needs the package {package}, which is not installed: pip install 'parity[{EXTRA_OF[package]}]'."
        )
    except BaseException as error:
        # SystemExit(0) of a user's code would end the command as if it held.
        return _own_error(error)
    return int(outcome) if outcome is not None else ExitCode.HOLDS


def _refuse_empty(arguments: Sequence[str]) -> None:
    """A variable of a script that is not set would otherwise be the current folder, or a name.

    Raises:
        CannotStart: an option or an argument is empty.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name = before if argument == "" else argument.removesuffix("=") if argument.startswith("--") else argument
        if name != argument:
            raise CannotStart(
                f"{name if name.startswith('--') else 'An argument'} is empty: give a value, or leave it out."
            )


def _bad_option(error: CycloptsError) -> str:
    from pydantic import ValidationError

    from parity.system.options import complaint

    if isinstance(error.__cause__, ValidationError):
        return f"--{complaint(error.__cause__)}."
    return " ".join(str(error).split())


def _own_error(error: BaseException) -> int:
    """For errors that no input should cause: the traceback is for parity's developers."""
    import traceback

    traceback.print_exception(error)
    print(
        f"parity: internal error: {type(error).__name__}: {one_line(error)}; please report the lines above.",
        file=sys.stderr,
    )
    return ExitCode.DOES_NOT_HOLD


def _refuse(sentence: str) -> int:
    print(f"parity: {printable(sentence)}", file=sys.stderr)
    return ExitCode.CANNOT_START
