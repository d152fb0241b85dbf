"""``junit.xml``: one test case for each claim of a study, for CI systems that show such files.

A case fails where the claim makes the exit code 1 or 3, is an error where it could not be judged, and is skipped where
it is open and nobody required it. A study that was gated has one more case for each claim of the gate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from xml.etree import ElementTree

from parity.errors import LONGEST_READ, printable
from parity.ladder.findings import page_of
from parity.report import text
from parity.results.gate import Gate, Status
from parity.results.summary import MetricComparison, Summary, Verdict
from parity.verdict.claims import StudyClaim, study_claims

Outcome = Literal["failure", "error", "skipped"] | None
# The order of suites within a task.
_KINDS = ("learns", "metric", "comparison", "masks", "rung", "trial", "finding")
# Characters that XML 1.0 cannot hold at all: the last line of a traceback may have an escape sequence in it.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    suite: str
    name: str
    outcome: Outcome
    message: str


def junit_xml(summary: Summary, require: Sequence[str], gate: Gate | None) -> str:
    """The text of ``junit.xml``; ``gate`` is None where the study was not gated."""
    claims = study_claims(summary, [*require, *(gate.require if gate else [])])
    cases: list[Case] = []
    for task in [*summary.tasks, None]:
        of_task = [claim for claim in claims if claim.task == task and claim.kind != "finding"]
        for kind in _KINDS:
            cases += [_case(claim) for claim in of_task if claim.kind == kind and _has_case(claim)]
            if kind == "comparison" and _lacks_comparison(of_task):
                cases.append(Case(f"{task}.equivalence", "comparison", "failure", "there is nothing to compare"))
    cases += [_case(claim) for claim in claims if claim.kind == "finding"]
    if gate is not None:
        cases = [*_with_waivers(cases, gate)]
        cases += [Case(f"gate.{c.kind}", c.id, _outcome(c.status), f"{c.status}: {c.message}") for c in gate.claims]
    root = ElementTree.Element("testsuites", {"name": _xml(summary.study), **_totals(cases)})
    for suite in dict.fromkeys(case.suite for case in cases):
        members = [case for case in cases if case.suite == suite]
        timestamp = summary.created.removesuffix("Z")
        attributes = {"name": _xml(suite), "timestamp": _xml(timestamp)} | _totals(members)
        node = ElementTree.SubElement(root, "testsuite", attributes)
        for case in members:
            names = {"classname": _xml(f"parity.{suite}"), "name": _xml(case.name), "time": "0"}
            element = ElementTree.SubElement(node, "testcase", names)
            if case.outcome is not None:
                ElementTree.SubElement(element, case.outcome, message=_xml(case.message)).text = _xml(case.message)
            elif case.message:
                ElementTree.SubElement(element, "system-out").text = _xml(case.message)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _has_case(claim: StudyClaim) -> bool:
    """The verdict on all tasks together has no case beside those of its metrics."""
    return claim.kind != "comparison" or (claim.task is not None and claim.framework is not None)


def _lacks_comparison(claims: Sequence[StudyClaim]) -> bool:
    """Whether a comparison was required and there is nothing to compare."""
    comparisons = [claim for claim in claims if claim.kind == "comparison"]
    compared = any(claim.kind == "metric" for claim in claims)
    return not compared and any(claim.status == "undecided" for claim in comparisons)


def _case(claim: StudyClaim) -> Case:
    outcome, message = _outcome(claim.status, claim.judged), claim.words
    match claim.kind:
        case "learns":
            words = {"pass": "LEARNS", "fail": "DOES NOT LEARN", "undecided": "UNDECIDED"}
            message = f"{words[claim.status]}: {claim.words}"
        case "metric" if claim.metric is not None:
            message = _metric_words(claim.metric)
        case "comparison":
            # Its metrics have cases of their own, which say whether they are decided. Collapsed seeds make a port WORSE,
            # and a failed rung INVALID, whatever its metrics say.
            outcome = outcome if claim.verdict in (Verdict.WORSE, Verdict.INVALID) else None
            message = claim.verdict or ""
        case "trial" if claim.words:
            message = text.sentence_case(f"{claim.framework} seed {claim.name} {claim.words}")
        case "finding" if claim.finding is not None:
            page = page_of(claim.finding.code)
            message = f"{claim.finding.severity}: {claim.words}" + (f" ({page})" if page else "")
    return Case(*claim.case, outcome, message)


def _outcome(status: Status, judged: bool = True) -> Outcome:
    if status == "pass":
        return None
    if not judged:
        return "error"
    return "failure" if status in ("fail", "undecided") else "skipped"


def _with_waivers(cases: list[Case], gate: Gate) -> list[Case]:
    """What the gate waives fails nothing: those cases are skipped, and say who waived them and until when."""
    waived = {case: claim.message for claim in gate.having("waived") for case in claim.cases}
    return [
        replace(case, outcome="skipped", message=waived[name])
        if case.outcome in ("failure", "error") and (name := f"{case.suite} {case.name}") in waived
        else case
        for case in cases
    ]


def _metric_words(metric: MetricComparison) -> str:
    words = f"{metric.verdict or Verdict.INCONCLUSIVE}: difference {text.signed(metric.difference)}"
    if metric.interval is not None and metric.confidence is not None:
        words += (
            f", {text.percent(metric.confidence)} interval {text.interval(metric.interval)}, margin {metric.margin:g}"
        )
    return words + (f"; {metric.reason}" if metric.reason else "")


def _totals(cases: list[Case]) -> dict[str, str]:
    outcomes = [case.outcome for case in cases]
    return {
        "tests": str(len(cases)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
        "skipped": str(outcomes.count("skipped")),
        "time": "0",
    }


def _xml(value: str) -> str:
    return _NOT_XML.sub("\ufffd", printable(value, LONGEST_READ))
