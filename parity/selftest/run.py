"""Running entries of the register, each in a worker process, and what became of each."""

from __future__ import annotations

import dataclasses
import logging
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, Literal

from parity.errors import one_line
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
        seconds: wall clock of collecting and judging.
    """

    name: str
    what: str
    outcome: Outcome
    expected: tuple[str, ...]
    rungs: tuple[str, ...]
    codes: tuple[str, ...]
    roots: tuple[str, ...]
    message: str
    seconds: float


def judge_bug(entry: Bug) -> Result:
    """Plants one bug and climbs."""
    from parity.selftest.good import good_port

    start = time.perf_counter()
    seen = _climb(entry.plant(good_port()), FRAMEWORK)
    # A rung may only be named by what it fails; a risk without effect, which is a warning, by its code.
    named = [code for code in seen.warnings if code in entry.caught_by]
    if not seen.is_accused and not named:
        outcome: Outcome = "missed"
    elif entry.caught_by & ({*seen.codes, *seen.rungs, *named}):
        outcome = "caught"
    else:
        outcome = "wrong rung"
    return _result(entry.name, entry.what, outcome, entry.caught_by, [seen], named, start)


def judge_good_port(entry: GoodPort) -> Result:
    """Climbs a good port under each of its frameworks."""
    start = time.perf_counter()
    seen = [_climb(entry.make(), framework) for framework in entry.frameworks]
    outcome: Outcome = "accused" if any(each.is_accused for each in seen) else "clear"
    return _result(entry.name, entry.what, outcome, frozenset(), seen, [], start)


@dataclasses.dataclass(frozen=True)
class _Seen:
    """A climb in short."""

    is_accused: bool
    rungs: list[str]
    codes: list[str]
    roots: list[str]
    warnings: list[str]
    messages: dict[str, str]
    reasons: list[str]


def _climb(task: Task, framework: str) -> _Seen:
    from parity.capture import collect
    from parity.errors import CannotStart
    from parity.ladder.run_rungs import run_rungs

    try:
        numbers = collect(task, framework, "cpu")
    except CannotStart as error:
        # The port is refused with a sentence before the ladder: whoever runs it knows.
        return _Seen(True, ["contract"], ["refused"], ["refused"], [], {"refused": str(error)}, [])
    assert numbers is not None
    result = run_rungs(numbers)
    errors = [found for found in result.found if found.is_error]
    broken = {name: rung for name, rung in result.rungs.items() if rung.status in ("fail", "invalid")}
    return _Seen(
        is_accused=not result,
        rungs=list(broken),
        codes=[found.code for found in errors],
        roots=[found.code for found in errors if found.root is None],
        warnings=[found.code for found in result.found if found.severity == "warning"],
        messages={found.code: found.message for found in reversed(result.found)},
        reasons=[f"{name}: {rung.reason}" for name, rung in broken.items()],
    )


def _result(
    name: str, what: str, outcome: Outcome, expected: frozenset[str], seen: list[_Seen], named: list[str], start: float
) -> Result:
    codes = list(dict.fromkeys([code for each in seen for code in each.codes] + named))
    roots = list(dict.fromkeys([code for each in seen for code in each.roots] + named))
    messages = [each.messages[code] for each in seen for code in (*each.roots, *named) if code in each.messages]
    reasons = [reason for each in seen for reason in each.reasons]
    return Result(
        name=name,
        what=what,
        outcome=outcome,
        expected=tuple(sorted(expected)),
        rungs=tuple(dict.fromkeys(rung for each in seen for rung in each.rungs)),
        codes=tuple(codes),
        roots=tuple(roots),
        message=next(iter(messages + reasons), ""),
        seconds=time.perf_counter() - start,
    )


def judge(name: str) -> Result:
    """One entry, by name: what a worker process does."""
    _prepare()
    start = time.perf_counter()
    try:
        return judge_bug(BUGS[name]) if name in BUGS else judge_good_port(GOOD_PORTS[name])
    except Exception as error:
        # An exception of the ladder itself names nothing: no catch, and no acquittal.
        entry: Bug | GoodPort = BUGS[name] if name in BUGS else GOOD_PORTS[name]
        expected = tuple(sorted(BUGS[name].caught_by)) if name in BUGS else ()
        outcome: Outcome = "missed" if name in BUGS else "accused"
        message = f"parity raised {type(error).__name__}: {one_line(error)}"
        return Result(name, entry.what, outcome, expected, (), (), (), message, time.perf_counter() - start)


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
