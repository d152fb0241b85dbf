"""The strip at the top of a report: five questions, each answered by a word, a colour and a link to where it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parity.report import text
from parity.report.rungs import BROKEN
from parity.results.bench import Ratio
from parity.results.ladder import CARRYING
from parity.results.summary import SB3, Learns, RungResult, Summary

if TYPE_CHECKING:
    from parity.report.content import TaskContent

# The gravest first: of several tasks and frameworks the gravest answer is shown.
_GRAVITY = ("bad", "open", "note", "plain", "good")


@dataclass(frozen=True)
class StripItem:
    """``word`` answers ``question``; ``tone`` is its colour, ``target`` the id of the section that shows it, ``about`` says
    of what it is true."""

    question: str
    word: str
    tone: str
    target: str
    about: str = ""


def strip(summary: Summary, tasks: Sequence[TaskContent]) -> list[StripItem]:
    """Verdict, learns, masks, ladder, speed; of a study without a task the verdict alone."""
    items = [_verdict(summary, tasks)]
    for answers in (_learns, _masks, _ladder, _speed):
        given = [item for task in tasks for item in answers(task)]
        if given:
            items.append(min(given, key=lambda item: _GRAVITY.index(item.tone)))
    return items


def _verdict(summary: Summary, tasks: Sequence[TaskContent]) -> StripItem:
    same = [task.id for task in tasks if task.summary.verdict is summary.verdict] or [task.id for task in tasks]
    target = "pooled" if summary.pooled else f"comparison-{same[0]}" if same else "verdict"
    return StripItem("verdict", summary.verdict, text.tone(summary.verdict), target, "against sb3")


def _learns(task: TaskContent) -> Iterator[StripItem]:
    for framework, learns in task.summary.learns.items():
        about = f"{framework} on {task.id}" if learns is not Learns.LEARNS else "every framework"
        yield StripItem("learns", text.learns_words(learns), text.tone(learns), "learns", about)


def _masks(task: TaskContent) -> Iterator[StripItem]:
    for framework, counts in task.summary.masks.items():
        about = f"{framework} on {task.id}"
        if counts.violations:
            word, tone = f"{counts.violations:,} ILLEGAL", "bad"
        elif counts.empty:
            word, tone = f"{counts.empty:,} EMPTY", "bad"
        elif not counts.decisions:
            word, tone = "NOT COUNTED", "open"
        else:
            word, tone, about = "OBEYED", "good", "every action that was checked"
        yield StripItem("masks", word, tone, f"masks-{task.id}", about)


def _ladder(task: TaskContent) -> Iterator[StripItem]:
    target = f"ladder-{task.id}" if task.summary.ladder else f"comparison-{task.id}"
    for framework in (name for name in task.frameworks if name != SB3):
        rungs = task.summary.ladder.get(framework, {})
        about = f"{framework} on {task.id}"
        broken = [name for name, rung in rungs.items() if rung.status in BROKEN]
        if broken:
            yield StripItem("ladder", f"BREAKS AT {broken[0].upper()}", "bad", target, about)
        elif any(f.severity == "error" and f.framework == framework for f in task.findings):
            yield StripItem("ladder", "FINDINGS", "bad", f"findings-{task.id}", about)
        elif not rungs:
            yield StripItem("ladder", "NOT CLIMBED", "plain", target, about)
        elif missing := list(_not_compared(rungs)):
            yield StripItem("ladder", "NOT COMPARED", "open", target, f"{about}: {', '.join(missing)}")
        else:
            yield StripItem("ladder", "HOLDS", "good", target, "every rung that carries the claim")


def _not_compared(rungs: dict[str, RungResult]) -> Iterable[str]:
    """Rungs that the claim rests on and that compared nothing: they are never called equal."""
    return (name for name in CARRYING if name not in rungs or rungs[name].max_abs is None)


def _speed(task: TaskContent) -> Iterator[StripItem]:
    target = f"speed-{task.id}"
    for pair, ratio in task.measured_ratios.items():
        yield StripItem("speed", f"{ratio.estimate:.2f} of sb3", _speed_tone(ratio), target, f"{pair}, measured")
    if not task.measured_ratios:
        for row in task.throughput:
            if row.ratio is not None:
                about = f"{row.framework}, seen in passing"
                yield StripItem("speed", f"{row.ratio:.2f} of sb3", "plain", target, about)


def _speed_tone(ratio: Ratio) -> str:
    return {True: "bad", False: "good", None: "open"}[ratio.slower]
