"""``parity run``."""

from __future__ import annotations

from parity.cli.options import AllOf, Json
from parity.study.options import RunOptions

NOTHING_GIVEN = RunOptions()
# Where and within what limits a study runs: no part of what it says.
MAY_CHANGE = {"address", "out", "timeout", "track", "trial_cpus", "trial_gpus", "trial_timeout", "trial_memory"}


def run(*, options: AllOf[RunOptions] = NOTHING_GIVEN, resume: str | None = None, json: Json = False) -> int:
    """Train every framework on a task from several seeds, compare, write the report, print the verdict.

    Parameters
    ----------
    resume
        Finish this study (a folder or a name under --out) instead of starting one.
    json
        Print summary.json on stdout, and nothing else there.
    """
    from parity.cli.conclude import conclude
    from parity.errors import CannotStart
    from parity.study.command import run_study
    from parity.study.storage import stored

    fixed = [name for name in RunOptions.model_fields if name in options.model_fields_set - MAY_CHANGE]
    if resume is not None and fixed:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise CannotStart(f"--resume finishes a study as it was asked for: leave out {names}.")
    options = options.resolved()
    with stored(options.out, resume) as (out, name, place):
        folder = run_study(options.model_copy(update={"out": out}), name)
        return conclude(folder, as_json=json, place=place(folder))
