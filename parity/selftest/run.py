"""Running entries of the register, each in a worker process, and what became of each."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, Literal

from pydantic import BaseModel

from parity.errors import CannotStart, NotSupported, in_short
from parity.ladder.findings.raw_finding import RawFinding
from parity.ladder.run_rungs import LadderResult, run_rungs
from parity.results.summary import RungResult
from parity.selftest.register import BUGS, GOOD_PORTS, Bug, GoodPort, load
from parity.system.subprocesses import fixed_hash_seed
from parity.task import Task

Outcome = Literal["caught", "missed", "wrong rung", "clear", "accused"]
FRAMEWORK = "rllib"


class Entry(BaseModel):
    """What the ladder said of one planted bug or good port.

    ``expected``: rungs and codes that may catch the bug; ``rungs``: those that failed or could not run; ``findings``: codes
    of the errors, and of warnings where the bug is expected there; ``roots``: of those that follow from no other;
    ``message``: of the first.
    """

    name: str
    what: str
    outcome: Outcome
    expected: list[str]
    roots: list[str] = []
    findings: list[str] = []
    rungs: list[str] = []
    message: str


def judge_bug(bug: Bug, ladder: LadderResult) -> Entry:
    """What became of a bug, from the ladder of the port that it is planted in."""
    # A rung may only be named by what it fails; a risk without effect, which is a warning, by its code.
    risks = [each for each in ladder.raw_findings if each.severity == "warning" and each.code in bug.caught_by]
    entry = _entry(bug, "caught", bug.caught_by, [ladder], risks)
    if ladder.not_compared and "not-compared" in bug.caught_by:
        return entry
    if ladder and not risks:
        entry.outcome = "missed"
    elif not bug.caught_by & {*entry.findings, *entry.rungs}:
        entry.outcome = "wrong rung"
    return entry


def judge_good_port(port: GoodPort, ladders: list[LadderResult]) -> Entry:
    """What became of a good port, from its ladder under each of its frameworks."""
    return _entry(port, "clear" if all(ladders) else "accused", frozenset(), ladders, [])


def _ladders(port: Task, frameworks: Iterable[str], full: bool = False) -> list[LadderResult]:
    """A port's ladder under each framework but those that do not support what it brings, as `parity check` leaves them out.

    One that is refused before the ladder counts as accused: whoever runs it knows.
    """
    from parity.capture import collect

    ladders, refusal = [], CannotStart("no framework compares it")
    for framework in frameworks:
        try:
            capture = collect(port, framework, "cpu", full=full)
        except NotSupported as error:
            refusal = error
        except CannotStart as error:
            ladders.append(_refused(port.id, error))
        else:
            assert capture is not None
            ladders.append(run_rungs(capture))
    return ladders or [_refused(port.id, refusal)]


def _refused(task: str, error: CannotStart) -> LadderResult:
    refused = RawFinding("refused", 0, task, str(error))
    return LadderResult({"contract": RungResult(rung=0, status="invalid")}, [refused])


def _entry(
    entry: Bug | GoodPort,
    outcome: Outcome,
    expected: frozenset[str],
    ladders: list[LadderResult],
    risks: list[RawFinding],
) -> Entry:
    errors = [each for ladder in ladders for each in ladder.raw_findings if each.is_error]
    roots = [each for each in errors if each.root is None] + risks
    rungs = [item for ladder in ladders for item in ladder.rungs.items()]
    broken = {name: rung.reason for name, rung in rungs if rung.status in ("fail", "invalid")}
    said = [each.message for each in roots] + [f"{name}: {reason}" for name, reason in broken.items()]
    return Entry(
        name=entry.name,
        what=entry.what,
        outcome=outcome,
        expected=sorted(expected),
        roots=list(dict.fromkeys(each.code for each in roots)),
        findings=list(dict.fromkeys(each.code for each in errors + risks)),
        rungs=list(broken),
        message=next(iter(said), ""),
    )


def judge(name: str) -> Entry:
    """One entry, by name: what a worker process does."""
    from parity.selftest.good import good_port

    _prepare()
    bug = BUGS.get(name)
    try:
        if bug is not None:
            (ladder,) = _ladders(bug.plant(good_port()), [FRAMEWORK], bug.full)
            return judge_bug(bug, ladder)
        good = GOOD_PORTS[name]
        return judge_good_port(good, _ladders(good.make(), good.frameworks))
    except Exception as error:
        # An exception of the ladder itself names nothing: no catch, and no acquittal.
        message = f"parity raised {in_short(error)}"
        if bug is None:
            return Entry(name=name, what=GOOD_PORTS[name].what, outcome="accused", expected=[], message=message)
        return Entry(name=name, what=bug.what, outcome="missed", expected=sorted(bug.caught_by), message=message)


def _prepare() -> None:
    import torch

    load()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)


def run(entries: list[Bug | GoodPort], workers: int) -> Iterator[Entry]:
    """Results as they come. ``workers``: processes, each used again; 1 still runs them in a process of its own."""
    with fixed_hash_seed(), ProcessPoolExecutor(min(workers, len(entries)), mp_context=get_context("spawn")) as pool:
        futures: list[Any] = [pool.submit(judge, entry.name) for entry in entries]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
