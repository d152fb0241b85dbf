"""``parity baseline accept``: a study becomes what later ones are held against, on purpose, by somebody, for a reason."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from parity.errors import CannotStart
from parity.gate.snapshot import load_rounds, machine_of, tasks_of, versions_of
from parity.results.baseline import Acceptance, Baseline, load_baseline
from parity.results.study import StudyRecord, now
from parity.results.summary import Learns, Summary, Verdict


def accept(study: StudyRecord, summary: Summary, path: Path, reason: str, by: str | None) -> Baseline:
    """Writes ``study`` as the baseline ``path``; the acceptance that it replaces goes into the history.

    Raises:
        CannotStart: the study is no baseline, the reason is empty, nobody is named, or the old file cannot be read.
    """
    if not reason.strip():
        raise CannotStart("--reason is empty: say why this study is what later ones are held against.")
    _refuse(study, summary)
    before = load_baseline(path) if path.exists() else None
    git = study.file.git
    baseline = Baseline(
        acceptance=Acceptance(
            accepted=now(),
            by=who(by),
            reason=reason.strip(),
            study=study.file.study,
            created=study.file.created,
            commit=git.commit if git else None,
            dirty=git.dirty if git else None,
        ),
        versions=versions_of(study),
        machine=machine_of(study.file.machine),
        tasks=tasks_of(study, summary, load_rounds(study.folder)),
        history=[*before.history, before.acceptance] if before else [],
    )
    try:
        baseline.write(path)
    except OSError as error:
        raise CannotStart(f"--baseline {path}: cannot write there ({error.strerror}); choose another file.") from error
    return baseline


def _refuse(study: StudyRecord, summary: Summary) -> None:
    remedy = "mend it and run it again; the baseline is as it was"
    if summary.verdict is Verdict.INVALID:
        reason = next((reason for task in summary.tasks.values() for reason in task.reasons), "no reason was stored")
        raise CannotStart(f"{study.folder} is INVALID and becomes no baseline: {reason}; {remedy}.")
    for name, task in summary.tasks.items():
        for framework, learns in task.learns.items():
            if learns is Learns.DOES_NOT_LEARN:
                raise CannotStart(f"{study.folder} becomes no baseline: {framework} does not learn {name}; {remedy}.")


def losses(before: Baseline | None, after: Baseline) -> list[str]:
    """What the earlier baseline had and the new one has not, as ``<task>`` or ``<framework> on <task>``."""
    if before is None:
        return []
    lost = [name for name in before.tasks if name not in after.tasks]
    for name, task in after.tasks.items():
        known = before.tasks[name].frameworks if name in before.tasks else {}
        lost += [f"{framework} on {name}" for framework in known if framework not in task.frameworks]
    return lost


def who(by: str | None) -> str:
    """The name given, else Git's, else the user's.

    Raises:
        CannotStart: none of them says.
    """
    name = by if by is not None else _git_name() or os.environ.get("USER") or os.environ.get("USERNAME") or ""
    if not name.strip():
        raise CannotStart("Nobody is named as the one who accepts: give --by NAME, or set git config user.name.")
    return name.strip()


def _git_name() -> str | None:
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
