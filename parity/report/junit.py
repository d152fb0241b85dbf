"""``junit.xml``: one test case for each claim of a study, for CI systems that show such files.

A case fails where the claim makes the exit code 1 or 3, is an error where it could not be judged, and is skipped where
it is open and nobody required it. A study that was gated has one more for each claim of the gate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal
from xml.etree import ElementTree

from parity.report import text
from parity.report.comparison import MetricRow
from parity.report.content import Content, TaskContent
from parity.results.gate import Claim as GateClaim
from parity.results.gate import Gate
from parity.results.summary import Learns, Verdict

Outcome = Literal["failure", "error", "skipped"] | None
# What XML 1.0 cannot hold at all; a traceback's last line may have an escape sequence in it.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Claim:
    suite: str
    name: str
    outcome: Outcome
    message: str


def junit_xml(content: Content) -> str:
    gate = content.gate.document if content.gate is not None and not content.gate.stale else None
    require = [*content.study.file.request.require, *(gate.require if gate else [])]
    # Of several tasks it is required of all together, and a task that is open by itself fails nothing.
    claims = [claim for task in content.tasks for claim in _claims(task, [] if content.pooled else require)]
    for row in content.pooled.of_all if content.pooled else []:
        claims.append(
            Claim("pooled.equivalence", f"{row.port} {row.name}", _equivalence(row, require), _equivalence_words(row))
        )
    claims += [
        Claim(
            "findings",
            f"{finding.code} {finding.framework or ''} {finding.where or ''}".strip(),
            "failure" if finding.severity == "error" else None,
            f"{finding.severity}: {finding.title}",
        )
        for finding in content.summary.findings
    ]
    if gate is not None:
        claims = [*_with_waivers(claims, gate), *(_gate_claim(claim) for claim in gate.claims)]
    root = ElementTree.Element("testsuites", {"name": _xml(content.summary.study), **_totals(claims)})
    for suite in dict.fromkeys(claim.suite for claim in claims):
        members = [claim for claim in claims if claim.suite == suite]
        timestamp = content.summary.created.removesuffix("Z")
        attributes = {"name": _xml(suite), "timestamp": _xml(timestamp)} | _totals(members)
        node = ElementTree.SubElement(root, "testsuite", attributes)
        for claim in members:
            case = ElementTree.SubElement(
                node, "testcase", classname=_xml(f"parity.{suite}"), name=_xml(claim.name), time="0"
            )
            if claim.outcome is not None:
                ElementTree.SubElement(case, claim.outcome, message=_xml(claim.message)).text = _xml(claim.message)
            elif claim.message:
                ElementTree.SubElement(case, "system-out").text = _xml(claim.message)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _claims(task: TaskContent, require: list[str]) -> Iterator[Claim]:
    for framework, learns in task.summary.learns.items():
        trials = [trial for trial in task.summary.trials if trial.framework == framework]
        good = f"{sum(trial.learned is True for trial in trials)} of {text.plural(len(trials), 'seed')} learned"
        # LEARNS is required of every study, so that UNDECIDED is exit code 3.
        outcome: Outcome = None if learns is Learns.LEARNS else "failure"
        yield Claim(f"{task.id}.learns", f"{framework} learns", outcome, f"{text.LEARNS_WORDS[learns]}: {good}")
    for row in task.metrics:
        yield Claim(
            f"{task.id}.equivalence", f"{row.port} {row.name}", _equivalence(row, require), _equivalence_words(row)
        )
    for port, verdict in task.summary.verdicts.items():
        # Collapsed seeds make a port WORSE, and a failed rung INVALID, whatever its metrics say.
        outcomes: dict[str, Outcome] = {Verdict.WORSE: "failure", Verdict.INVALID: "error"}
        yield Claim(f"{task.id}.equivalence", f"{port} verdict", outcomes.get(verdict), verdict)
    if not task.metrics and {"equivalent", "not-worse"} & set(require):
        yield Claim(f"{task.id}.equivalence", "comparison", "failure", "there is nothing to compare")
    for framework, masks in task.summary.masks.items():
        broken = masks.violations or masks.empty
        words = f"{masks.violations} illegal actions and {masks.empty} empty masks in {masks.decisions} decisions"
        outcome = "failure" if broken else (None if masks.decisions else "error")
        yield Claim(f"{task.id}.masks", f"{framework} masks", outcome, words)
    for framework, rungs in task.summary.ladder.items():
        for name, rung in rungs.items():
            outcomes = {"fail": "failure", "invalid": "error", "not_applicable": "skipped"}
            words = f"{rung.status}: {rung.reason or rung.where or ''}".rstrip(": ")
            yield Claim(f"{task.id}.ladder", f"{framework} {rung.rung} {name}", outcomes.get(rung.status), words)
    for trial in task.trials:
        words = trial.reason or ""
        outcome = "error" if trial.summary.reason else None
        yield Claim(f"{task.id}.trials", f"{trial.summary.framework} seed {trial.summary.seed}", outcome, words)


def _with_waivers(claims: list[Claim], gate: Gate) -> list[Claim]:
    """What the gate waives fails nothing: those cases are skipped, and say who waived them and until when."""
    waived = {case: claim.message for claim in gate.having("waived") for case in claim.cases}
    return [
        replace(claim, outcome="skipped", message=waived[name])
        if claim.outcome in ("failure", "error") and (name := f"{claim.suite} {claim.name}") in waived
        else claim
        for claim in claims
    ]


def _gate_claim(claim: GateClaim) -> Claim:
    outcomes: dict[str, Outcome] = {"fail": "failure", "undecided": "failure", "pass": None}
    return Claim(
        f"gate.{claim.kind}", claim.id, outcomes.get(claim.status, "skipped"), f"{claim.status}: {claim.message}"
    )


def _equivalence(row: MetricRow, require: list[str]) -> Outcome:
    metric = row.metric
    if metric.verdict is Verdict.INVALID:
        return "error"
    not_worse = metric.interval is not None and metric.margin is not None and metric.interval[0] > -metric.margin
    if metric.verdict is Verdict.WORSE or ("not-worse" in require and not not_worse):
        return "failure"
    if metric.verdict in (Verdict.EQUIVALENT, Verdict.BETTER):
        return None
    return "failure" if "equivalent" in require else "skipped"


def _equivalence_words(row: MetricRow) -> str:
    metric = row.metric
    words = f"{metric.verdict or Verdict.INCONCLUSIVE}: difference {text.signed(metric.difference)}"
    if metric.interval is not None and metric.confidence is not None:
        words += (
            f", {text.percent(metric.confidence)} interval {text.interval(metric.interval)}, margin {metric.margin:g}"
        )
    return words + (f"; {metric.reason}" if metric.reason else "")


def _totals(claims: list[Claim]) -> dict[str, str]:
    outcomes = [claim.outcome for claim in claims]
    return {
        "tests": str(len(claims)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
        "skipped": str(outcomes.count("skipped")),
        "time": "0",
    }


def _xml(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
