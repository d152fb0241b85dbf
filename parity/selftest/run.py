"""Running entries of the register, each in a worker process, and what became of each."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, Literal

from parity.errors import CannotStart, in_short
from parity.results.capture import Capture
from parity.selftest.register import BUGS, GOOD_PORTS, Bug, GoodPort, load
from parity.task import Task

Outcome = Literal["caught", "missed", "wrong rung", "clear", "accused"]
FRAMEWORK = "rllib"


@dataclasses.dataclass(frozen=True)
class Result:
    """What the ladder said of one entry.

    Attributes:
        name, what: of the entry.
        outcome: "caught", "missed" or "wrong rung" for a bug, "clear" or "accused" for a good port.
        expected: rungs and codes that may catch the bug.
        rungs: names of the rungs that failed or could not run.
        codes: of the errors, roots first; of warnings too, after them, where the bug is expected there.
        roots: of the errors that follow from no other.
        message: of the first finding.
    """

    name: str
    what: str
    outcome: Outcome
    expected: tuple[str, ...]
    rungs: tuple[str, ...]
    codes: tuple[str, ...]
    roots: tuple[str, ...]
    message: str


def judge_bug(entry: Bug, ladder: Ladder) -> Result:
    """What became of a bug, from the ladder of the port that it is planted in."""
    # A rung may only be named by what it fails; a risk without effect, which is a warning, by its code.
    named = [code for code in ladder.warnings if code in entry.caught_by]
    if not ladder.is_accused and not named:
        outcome: Outcome = "missed"
    elif entry.caught_by & ({*ladder.codes, *ladder.rungs, *named}):
        outcome = "caught"
    else:
        outcome = "wrong rung"
    return _result(entry.name, entry.what, outcome, entry.caught_by, [ladder], named)


def judge_good_port(entry: GoodPort, ladders: list[Ladder]) -> Result:
    """What became of a good port, from its ladder under each of its frameworks."""
    outcome: Outcome = "accused" if any(each.is_accused for each in ladders) else "clear"
    return _result(entry.name, entry.what, outcome, frozenset(), ladders, [])


@dataclasses.dataclass(frozen=True)
class Ladder:
    """What the ladder said of a port under one framework."""

    is_accused: bool
    rungs: list[str]
    codes: list[str]
    roots: list[str]
    warnings: list[str]
    messages: dict[str, str]
    reasons: list[str]


def ladder_of(capture: Capture) -> Ladder:
    """Judges what was captured of a port."""
    from parity.ladder.run_rungs import run_rungs

    result = run_rungs(capture)
    errors = [finding for finding in result.raw_findings if finding.is_error]
    broken = {name: rung for name, rung in result.rungs.items() if rung.status in ("fail", "invalid")}
    return Ladder(
        is_accused=not result,
        rungs=list(broken),
        codes=[finding.code for finding in errors],
        roots=[finding.code for finding in errors if finding.root is None],
        warnings=[finding.code for finding in result.raw_findings if finding.severity == "warning"],
        messages={finding.code: finding.message for finding in reversed(result.raw_findings)},
        reasons=[f"{name}: {rung.reason}" for name, rung in broken.items()],
    )


def run_ladder(task: Task, framework: str) -> Ladder:
    """Captures and judges a port; one that is refused before the ladder counts as accused: whoever runs it knows."""
    from parity.capture import collect

    try:
        capture = collect(task, framework, "cpu")
    except CannotStart as error:
        return Ladder(True, ["contract"], ["refused"], ["refused"], [], {"refused": str(error)}, [])
    assert capture is not None
    return ladder_of(capture)


def _result(
    name: str, what: str, outcome: Outcome, expected: frozenset[str], ladders: list[Ladder], named: list[str]
) -> Result:
    codes = list(dict.fromkeys([code for each in ladders for code in each.codes] + named))
    roots = list(dict.fromkeys([code for each in ladders for code in each.roots] + named))
    messages = [each.messages[code] for each in ladders for code in (*each.roots, *named) if code in each.messages]
    reasons = [reason for each in ladders for reason in each.reasons]
    return Result(
        name=name,
        what=what,
        outcome=outcome,
        expected=tuple(sorted(expected)),
        rungs=tuple(dict.fromkeys(rung for each in ladders for rung in each.rungs)),
        codes=tuple(codes),
        roots=tuple(roots),
        message=next(iter(messages + reasons), ""),
    )


def judge(name: str) -> Result:
    """One entry, by name: what a worker process does."""
    from parity.selftest.good import good_port

    _prepare()
    try:
        if name in BUGS:
            return judge_bug(BUGS[name], run_ladder(BUGS[name].plant(good_port()), FRAMEWORK))
        good = GOOD_PORTS[name]
        return judge_good_port(good, [run_ladder(good.make(), framework) for framework in good.frameworks])
    except Exception as error:
        # An exception of the ladder itself names nothing: no catch, and no acquittal.
        entry: Bug | GoodPort = BUGS[name] if name in BUGS else GOOD_PORTS[name]
        expected = tuple(sorted(BUGS[name].caught_by)) if name in BUGS else ()
        outcome: Outcome = "missed" if name in BUGS else "accused"
        message = f"parity raised {in_short(error)}"
        return Result(name, entry.what, outcome, expected, (), (), (), message)


def _prepare() -> None:
    import torch

    load()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)


def run(entries: list[Bug | GoodPort], workers: int) -> Iterator[Result]:
    """Results as they come. ``workers``: processes, each used again; 1 still runs them in a process of its own."""
    with ProcessPoolExecutor(min(workers, len(entries)), mp_context=get_context("spawn")) as pool:
        futures: list[Any] = [pool.submit(judge, entry.name) for entry in entries]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
