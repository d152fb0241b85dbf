"""The whole decision on a study: its own claims, those against the baseline, what is waived, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from parity import __version__
from parity.errors import ExitCode
from parity.gate.baseline_claims import claims_against_baseline
from parity.gate.changes import changes, configuration_changes, version_changes
from parity.gate.snapshot import machine_of, tasks_of, versions_of
from parity.gate.study_claims import claims_of_study
from parity.gate.throughput_claims import ThroughputSource
from parity.gate.waivers import apply_waivers
from parity.results.baseline import Baseline
from parity.results.bench import TaskRounds
from parity.results.gate import BaselineUse, Change, Claim, Gate, Outcome, WaiverUse, fingerprint
from parity.results.study import StudyRecord, now
from parity.results.summary import Summary
from parity.results.waivers import Waiver
from parity.verdict.claims import exit_code

OUTCOMES: dict[ExitCode, Outcome] = {
    ExitCode.HOLDS: "PASS",
    ExitCode.DOES_NOT_HOLD: "FAIL",
    ExitCode.UNDECIDED: "UNDECIDED",
}
# More of them make no sentence; the report has all.
NAMED = 3


def decide(
    baseline: Baseline,
    study: StudyRecord,
    summary: Summary,
    require: Sequence[str],
    waivers: Sequence[Waiver],
    throughput: ThroughputSource,
    today: date,
    bench: Mapping[str, TaskRounds] | None = None,
) -> Gate:
    """The whole decision; it reads and writes no file.

    Raises:
        CannotStart: a waiver is for claims of more than one kind.
    """
    tasks = tasks_of(study, summary, bench)
    learned_before = {
        name: {framework: side.learns for framework, side in task.frameworks.items()}
        for name, task in baseline.tasks.items()
    }
    claims = claims_of_study(summary, require, learned_before)
    claims += claims_against_baseline(baseline, tasks, summary, require, throughput)
    claims, uses = apply_waivers(waivers, claims, today)
    use = BaselineUse.model_validate(baseline.acceptance.model_dump(include=set(BaselineUse.model_fields)))
    versions = version_changes(baseline.versions, versions_of(study))
    machine = changes(baseline.machine, machine_of(study.file.machine))
    code = exit_code(claims)
    return Gate(
        parity_version=__version__,
        study=study.file.study,
        gated=now(),
        outcome=OUTCOMES[code],
        exit_code=int(code),
        sentence=_sentence(claims, versions, machine, uses, use),
        require=list(require),
        baseline=use,
        versions=versions,
        machine=machine,
        configuration=configuration_changes(baseline.tasks, tasks),
        claims=claims,
        waivers=uses,
        summary_sha256=fingerprint(summary),
    )


def root_causes(claims: Sequence[Claim]) -> list[Claim]:
    """Without what follows from another claim: why a task is INVALID stands in the claim that says so."""
    invalid = {claim.task for claim in claims if claim.kind == "valid" and claim.status == "fail"}
    return [claim for claim in claims if claim.kind == "valid" or claim.waivable or claim.task not in invalid]


def _sentence(
    claims: Sequence[Claim],
    versions: Sequence[Change],
    machine: Sequence[Change],
    waivers: Sequence[WaiverUse],
    baseline: BaselineUse,
) -> str:
    """What has changed in the versions, then what fails or is open, then what was waived, and what was not compared."""
    clauses = []
    if versions:
        clauses.append(f"{', '.join(map(str, versions))} since the baseline")
    code = exit_code(claims)
    if code is ExitCode.HOLDS:
        statuses = [claim.status for claim in claims]
        held, left_open = statuses.count("pass"), statuses.count("open")
        clauses.append(
            f"{held} claims hold against the baseline that {baseline.by} accepted on {baseline.accepted[:10]}"
            + (f", {left_open} {'is' if left_open == 1 else 'are'} open and not required" if left_open else "")
        )
    else:
        status = "fail" if code is ExitCode.DOES_NOT_HOLD else "undecided"
        causes = root_causes([claim for claim in claims if claim.status == status])
        more = f"; and {len(causes) - NAMED} more" if len(causes) > NAMED else ""
        clauses.append("; ".join(claim.message for claim in causes[:NAMED]) + more)
    waived = sum(claim.status == "waived" for claim in claims)
    if waived:
        clauses.append(f"{waived} waived: " + "; ".join(use.message for use in waivers if use.state == "used"))
    clauses += [use.message for use in waivers if use.state in ("expired", "refused")]
    if machine:
        clauses.append(
            f"other machine than the baseline's ({', '.join(map(str, machine))}): only ratios of throughput are compared"
        )
    return "; ".join(clauses) + "."
