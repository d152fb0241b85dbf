"""What has to hold inside the study, as claims of the gate: made from the list in ``parity.verdict.claims``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from parity.results.gate import Claim
from parity.results.summary import SB3, Learns, Summary
from parity.verdict.claims import StudyClaim, study_claims

# {task: {framework: did it learn when the baseline was accepted}}
Learned = Mapping[str, Mapping[str, Learns]]


def claims_of_study(summary: Summary, require: Collection[str], learned_before: Learned) -> list[Claim]:
    """Claims on validity, learning, masks, findings, and every port against SB3.

    Complete trials of a framework are one claim, error findings of a code on one side of a task too. Rungs of the ladder
    are compared with the baseline elsewhere (``parity.gate.baseline_claims``), metrics are part of their comparison.
    """
    groups: dict[tuple, list[StudyClaim]] = {}
    for claim in study_claims(summary, require):
        if claim.kind not in ("metric", "rung") and (claim.kind != "finding" or claim.status == "fail"):
            code = claim.name if claim.kind == "finding" else None
            groups.setdefault((claim.kind, claim.task, claim.framework, code), []).append(claim)
    claims: list[Claim] = []
    for members in groups.values():
        if members[0].kind == "trial":
            claims += _trials(members)
        else:
            claims.append(_claim(members, summary, learned_before))
    return claims


def _trials(trials: list[StudyClaim]) -> list[Claim]:
    failed = [trial for trial in trials if trial.status == "fail"]
    task, framework = trials[0].task, trials[0].framework
    if not failed:
        message = f"all {len(trials)} trials of {framework} on {task} are complete"
        return [_gate_claim(trials[0], f"{task}.{framework}.trials", message, waivable=False)]
    return [
        _gate_claim(
            trial,
            f"{task}.{framework}.trials.{trial.name}",
            f"{framework} seed {trial.name} on {task} {trial.words}",
            waivable=False,
        )
        for trial in failed
    ]


def _claim(members: list[StudyClaim], summary: Summary, learned_before: Learned) -> Claim:
    first = members[0]
    task, framework, words = first.task, first.framework, first.words
    side = ".".join(filter(None, [task, framework]))
    match first.kind:
        case "valid":
            return _gate_claim(first, f"{task}.valid", f"{task} {words}", waivable=False)
        case "masks":
            return _gate_claim(first, f"{side}.masks", f"{framework} on {task}: {words}", waivable=False)
        case "learns":
            learned = learned_before.get(task or "", {}).get(framework or "") is Learns.LEARNS
            before = ", where it learned in the baseline" if learned else ""
            message = {
                "pass": f"{framework} learns {task}: {words}",
                "fail": f"{framework} does not learn {task}{before}: {words}",
                "undecided": f"whether {framework} learns {task} is UNDECIDED{before}: {words}",
            }[first.status]
            # Without a reference that learns there is no study.
            return _gate_claim(first, f"{side}.learns", message, cases=_cases(members), waivable=framework != SB3)
        case "finding":
            id_ = f"{'.'.join(filter(None, [task or 'study', framework]))}.finding.{first.name}"
            message = f"{first.name} {words} [{framework or 'study'} on {task or 'all tasks'}]"
            return _gate_claim(first, id_, message, cases=_cases(members))
    if framework is None:
        return _gate_claim(first, f"{task}.comparison", f"{task} {words}")
    where = f"on {task}" if task or not summary.pooled else f"over {len(summary.pooled.tasks)} tasks together"
    suite, _ = first.case
    names = ("final", "auc", "verdict") if task else ("final", "auc")
    return _gate_claim(
        first,
        f"{task or 'pooled'}.{framework}.comparison",
        f"{framework} against sb3 {where}: {words}",
        cases=[f"{suite} {framework} {name}" for name in names],
    )


def _cases(members: list[StudyClaim]) -> list[str]:
    return [" ".join(claim.case) for claim in members]


def _gate_claim(claim: StudyClaim, id_: str, message: str, **fields: Any) -> Claim:
    return Claim(
        id=id_,
        kind=claim.kind,
        status=claim.status,
        message=message,
        task=claim.task,
        framework=claim.framework,
        **fields,
    )
