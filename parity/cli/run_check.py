"""``parity check`` from options to exit code: collect, judge, print."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from parity import frameworks
from parity.cli.collect_for_check import Wanted, file_of
from parity.cli.collect_for_check import collected as collected_for_check
from parity.errors import CannotStart, in_short, in_words
from parity.system.console import console
from parity.system.subprocesses import run_in_subprocess

if TYPE_CHECKING:
    from parity.cli.check import CheckOptions
    from parity.ladder.run_rungs import LadderResult
    from parity.results.capture import Capture
    from parity.results.check import CheckDocument

DEFAULT_FRAMEWORKS = ("rllib", "rllib-exact")


def run_check(options: CheckOptions, as_json: bool) -> int:
    """Checks one task and prints ladder and findings. Returns the exit code.

    Raises:
        CannotStart: bad input.
    """
    names = _names(options.frameworks)
    if options.old_against_new:
        names = _new_stack_alone(options)
    left_out: dict[str, str] = {}
    if options.load is not None:
        task_id, collected, device = _stored(options, names)
    else:
        wanted = Wanted(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Wanted)})
        task_id, collected, device, left_out = run_in_subprocess(
            collected_for_check,
            wanted,
            names,
            about=f"--task {options.task}",
            timeout=options.timeout,
            meanwhile=_prepare,
        )
    from parity.ladder.judge import judge

    try:
        document, ladders = judge(task_id, collected, device)
    except Exception as error:
        if options.load is None:
            raise
        # Each array is one of numbers; together they may still be those of no collection.
        again = "write it again with `parity check --save`"
        raise CannotStart(
            f"--load {options.load}: its numbers do not fit together ({in_short(error)}); {again}."
        ) from error
    document.left_out = left_out
    _show(options, document, ladders, collected)
    if as_json:
        print(document.to_json())
    return document.exit_code


def _prepare() -> None:
    """Imports what judges and shows, while another process collects."""
    import parity.cli.github
    import parity.cli.ladder_table
    import parity.ladder.judge
    import parity.ladder.log
    import parity.ladder.trace  # noqa: F401


def _names(wanted: list[str] | None) -> list[str]:
    if wanted is None:
        registered = frameworks.names()
        return [name for name in DEFAULT_FRAMEWORKS if name in registered]
    frameworks.check_names(wanted)
    names = [name for name in wanted if name != frameworks.REFERENCE]
    if not names:
        raise CannotStart(f"--frameworks {frameworks.REFERENCE}: name a framework to compare with it.")
    return names


def _new_stack_alone(options: CheckOptions) -> list[str]:
    others = {
        "--frameworks": options.frameworks, "--load": options.load, "--lockstep": options.lockstep, "--full": options.full,
        "--checkpoint": options.checkpoint, "--sb3-checkpoint": options.sb3_checkpoint,
    }  # fmt: skip
    given = [name for name, value in others.items() if value]
    if given:
        raise CannotStart(f"--old-against-new: leave {in_words(given)} out; it compares RLlib's two API stacks alone.")
    return ["rllib"]


def _stored(options: CheckOptions, names: list[str]) -> tuple[str, dict[str, Capture | None], str]:
    """Numbers from ``--load``; the frameworks are those that were saved."""
    assert options.load is not None
    from parity.results import capture_file

    path = options.load
    several = [file_of(path, name, True) for name in names]
    files = [path] if path.exists() else [file for file in several if file.exists()]
    if not files:
        raise CannotStart(f"--load {path}: there is no such file; write one with `parity check --save {path}`.")
    captures = [capture_file.load(file) for file in files]
    for file, capture in zip(files, captures, strict=True):
        if not capture.context.framework or not capture.context.task:
            raise CannotStart(f"--load {file}: it does not say which task and framework it is of.")
    contexts = [capture.context for capture in captures]
    # "cuda:0" was asked for as "cuda".
    device = contexts[0].device.partition(":")[0]
    return contexts[0].task, {each.context.framework: each for each in captures}, device


def _show(
    options: CheckOptions,
    document: CheckDocument,
    ladders: dict[str, LadderResult],
    collected: dict[str, Capture | None],
) -> None:
    from parity.cli import ladder_table as table
    from parity.cli.github import annotate_findings
    from parity.ladder.log import write_log
    from parity.ladder.trace import trace

    out = console()
    other = "the old stack" if options.old_against_new else "sb3"
    document.log, stops = write_log(options.out, document.task, collected)
    episodes = {name: trace(capture) for name, capture in collected.items() if capture} if options.trace else {}
    if options.trace:
        document.trace = episodes
    for name in document.frameworks:
        table.print_ladder(out, name, document.ladder[name], other)
        table.print_algorithm(out, document.algorithm.get(name))
        table.print_control(out, document.control.get(name))
    table.print_findings(out, document.findings)
    annotate_findings(document.findings)
    for name, each in episodes.items():
        table.print_trace(out, name, each)
    document.notes = [
        f"{name}: {sentence}" for name, each in collected.items() if each for sentence in each.context.notes
    ]
    for sentence in (*stops, *document.notes, *document.left_out.values()):
        # A pip extra in brackets is no markup.
        out.print(sentence, markup=False)
    broken = [name for name in document.frameworks if name in ladders and not ladders[name]]
    out.print(_verdict(document, broken, other), markup=False)
    if not broken:
        table.print_parameter_map(out, document.parameter_map)


def _verdict(document: CheckDocument, broken: Sequence[str], other: str = "sb3") -> str:
    if not broken and document.not_compared:
        others = [name for name in document.frameworks if name not in document.not_compared]
        reasons = {
            f"{name} is not compared ({', '.join(rungs)}: {next(iter(rungs.values()))})"
            for name, rungs in document.not_compared.items()
        }
        rest = f"; {in_words(others)} computes what {other} computes, or the ladder says why not" if others else ""
        return f"{document.task}: {'; '.join(sorted(reasons))}{rest}."
    if not broken:
        computes = "computes" if len(document.frameworks) == 1 else "compute"
        return f"{document.task}: {in_words(document.frameworks)} {computes} what {other} computes, or the ladder says why not."
    roots = [finding.code for finding in document.findings if finding.severity == "error"]
    hold = "does not hold" if len(broken) == 1 else "do not hold"
    return f"{document.task}: {in_words(broken)} {hold} ({', '.join(dict.fromkeys(roots)) or 'see above'})."
