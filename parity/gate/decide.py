"""The whole decision on a study: its own claims, those against the baseline, what is waived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from parity import __version__
from parity.gate import waivers as waiver_files
from parity.gate.against import against
from parity.gate.baseline import Baseline, tasks_of
from parity.gate.bench import Bench
from parity.gate.circumstances import changes, machine_of, version_changes, versions_of
from parity.gate.definition import configuration_changes
from parity.gate.inside import inside
from parity.gate.outcome import WORDS, exit_code, sentence
from parity.gate.throughput_claims import Source
from parity.results import study as files
from parity.results.gate import BaselineUse, Gate, fingerprint
from parity.results.summary import Summary


def decide(
    baseline: Baseline,
    study: files.StudyRecord,
    summary: Summary,
    require: Sequence[str],
    waivers: Sequence[waiver_files.Waiver],
    throughput: Source,
    today: date,
    bench: Mapping[str, Bench] | None = None,
) -> Gate:
    """The whole decision; it reads and writes no file.

    Raises:
        CannotStart: a waiver is for claims of more than one kind.
    """
    tasks = tasks_of(study, summary, bench)
    learnt = {
        name: {framework: side.learns for framework, side in task.frameworks.items()}
        for name, task in baseline.tasks.items()
    }
    claims = inside(summary, require, learnt) + against(baseline, tasks, summary, require, throughput)
    claims, uses = waiver_files.apply(waivers, claims, today)
    acceptance = baseline.acceptance
    use = BaselineUse(
        accepted=acceptance.accepted,
        by=acceptance.by,
        reason=acceptance.reason,
        study=acceptance.study,
        commit=acceptance.commit,
    )
    versions = version_changes(baseline.versions, versions_of(study))
    machine = changes(baseline.machine, machine_of(study))
    code = exit_code(claims)
    return Gate(
        parity_version=__version__,
        study=study.file.study,
        gated=files.now(),
        outcome=WORDS[code],
        exit_code=int(code),
        sentence=sentence(claims, versions, machine, uses, use),
        require=list(require),
        baseline=use,
        versions=versions,
        machine=machine,
        configuration=configuration_changes(baseline.tasks, tasks),
        claims=claims,
        waivers=uses,
        summary_sha256=fingerprint(summary),
    )
