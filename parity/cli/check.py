"""``parity check``."""

from __future__ import annotations

from pathlib import Path

from parity.cli.options import AllOf, Json, default_task
from parity.system.options import DEFAULT_OUT, DEFAULT_TIMEOUT_S, AtLeastOne, FileName, Names, Options, Timeout


class CheckOptions(Options):
    """The options of ``parity check``, with their defaults."""

    task: str | None = None
    """Built-in id, file.py, file.py:name or package.module:name. Default: what parity.toml in the current folder says, else
    tiles."""
    frameworks: Names | None = None
    """Names of frameworks to compare with sb3. Default: rllib rllib-exact."""
    device: str = "cpu"
    """cpu, cuda or auto. On the CPU the tolerances are tightest."""
    save: FileName | None = None
    """Write the collected numbers to this file, to be judged later or elsewhere; with several frameworks, the name of each
    goes into its file's."""
    load: FileName | None = None
    """Judge the numbers of such a file instead of running anything."""
    checkpoint: Path | None = None
    """Compare at the weights that a training of the port ended with: an Algorithm's or Tune's checkpoint folder. Only arrays
    are read from it."""
    sb3_checkpoint: Path | None = None
    """The same with the weights of a model that MaskablePPO.save wrote."""
    trust_checkpoint: bool = False
    """Read --checkpoint with pickle, which executes what the file says, where it holds more than arrays."""
    trace: bool = False
    """Print one episode per agent: legal actions and their probabilities, action, reward, value, ends."""
    lockstep: AtLeastOne | None = None
    """Run so many whole iterations of rung 9 with SB3, as long as the task trains them. Default: three short ones."""
    old_against_new: bool = False
    """Compare the two RLlib API stacks of a port with each other instead of with SB3: its old one (rllib_old_model,
    rllib_old_config) and its new one, from the same weights."""
    full: bool = False
    """Run one iteration through the port's own Algorithm too, on a local Ray with all its env runners and learners."""
    timeout: Timeout = DEFAULT_TIMEOUT_S
    """Seconds that the comparison may take before it is ended, with everything that it started."""
    out: Path = DEFAULT_OUT
    """Folder of the log, where the port raised."""


NOTHING_GIVEN = CheckOptions()


def check(*, options: AllOf[CheckOptions] = NOTHING_GIVEN, json: Json = False) -> int:
    """Compare a port with SB3 number by number, without training, and name what differs.

    Parameters
    ----------
    json
        Print one document with ladder and findings on stdout, and nothing else there.
    """
    from parity.cli.run_check import run_check

    if options.task is None and options.load is None:
        options = options.model_copy(update={"task": default_task("parity check")})
    return run_check(options, as_json=json)
