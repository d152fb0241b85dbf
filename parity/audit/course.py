"""The course of a training: which findings begin and end, and which of them came first."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping

from parity.audit.figures import IterationFigures
from parity.audit.judge import Seen, seen_in
from parity.ladder.findings import RULES
from parity.ladder.findings.raw_finding import RawFinding, json_value, settle
from parity.results.summary import Severity
from parity.results.watch import WatchEvent

# Iterations that are kept to compare with, and those without a finding after which it counts as ended.
KEPT, QUIET = 50, 3


@dataclasses.dataclass
class _Open:
    """A finding that was seen: in how many iterations running, since which, and in which at last."""

    seen: Seen
    since: int
    last: int
    running: int = 1
    told: bool = False


class Course:
    """Takes an iteration's figures after the other, and says what begins and ends."""

    def __init__(self, declared: Mapping[str, str] | None = None) -> None:
        self._declared = dict(declared or {})
        self._past: deque[IterationFigures] = deque(maxlen=KEPT)
        self._open: dict[tuple[str, str | None], _Open] = {}
        self._had_cause = False

    def take(self, now: IterationFigures) -> list[WatchEvent]:
        """The findings that begin in this iteration, causes first, and those that end."""
        for each in seen_in(now, list(self._past)):
            self._see(each, now.iteration)
        self._past.append(now)
        return self._begin(now) + self._end(now)

    def _see(self, seen: Seen, iteration: int) -> None:
        key = (seen.code, seen.module)
        known = self._open.get(key)
        if known is None:
            self._open[key] = _Open(seen, since=iteration, last=iteration)
            return
        known.running = known.running + 1 if known.last == iteration - 1 else 1
        known.last = iteration
        # One that has been told stays as it was, unless it has become worse: then it is told once more.
        if not known.told or (_severity(seen) == "error" and _severity(known.seen) != "error"):
            known.seen, known.told = seen, False

    def _begin(self, now: IterationFigures) -> list[WatchEvent]:
        begun = [e for e in self._open.values() if not e.told and e.running >= e.seen.is_told_after]
        told = [e for e in self._open.values() if e.told]
        for each in begun:
            each.told = True
        if not begun:
            return []
        raw = {id(each): _raw(each) for each in told + begun}
        settled = settle(list(raw.values()), self._declared)
        events = []
        for finding in settled:
            each = next(e for e in told + begun if raw[id(e)] is finding)
            if each in begun:
                events.append(self._event(each, finding, now))
        return events

    def _event(self, each: _Open, finding: RawFinding, now: IterationFigures) -> WatchEvent:
        is_first = finding.is_error and finding.root is None and not self._had_cause
        self._had_cause |= is_first
        rule = RULES[finding.code]
        return WatchEvent(
            event="begin",
            iteration=now.iteration,
            steps=now.steps,
            since=each.since,
            code=finding.code,
            severity="info" if finding.declared is not None else finding.severity,
            title=rule.title,
            module=finding.module,
            message=finding.message,
            evidence=json_value(finding.evidence),
            fix=finding.fix or rule.fix,
            first_cause=is_first,
            follows_from=finding.root.code if finding.root is not None else None,
            declared=finding.declared,
        )

    def _end(self, now: IterationFigures) -> list[WatchEvent]:
        ended = [key for key, each in self._open.items() if now.iteration - each.last >= (QUIET if each.told else 1)]
        events = []
        for key in ended:
            each = self._open.pop(key)
            if each.told:
                events.append(
                    WatchEvent(
                        event="end",
                        iteration=each.last,
                        steps=now.steps,
                        since=each.since,
                        code=each.seen.code,
                        severity=_severity(each.seen),
                        title=RULES[each.seen.code].title,
                        module=each.seen.module,
                        message=f"not seen since iteration {each.last}",
                    )
                )
        return events


def _severity(seen: Seen) -> Severity:
    return seen.severity or RULES[seen.code].severity


def _raw(each: _Open) -> RawFinding:
    seen = each.seen
    where = "training" if seen.module is None else f"module {seen.module}"
    return RawFinding(
        seen.code,
        RULES[seen.code].rung,
        where,
        seen.message,
        seen.evidence,
        severity=_severity(seen),
        module=seen.module,
        fix=seen.fix,
    )
